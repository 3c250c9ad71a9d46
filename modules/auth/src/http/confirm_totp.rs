use actix_web::http::header;
use actix_web::{HttpResponse, post, web};
use platform::access::Principal;
use platform::http::Json;
use platform::problem::{Problem, ProblemBody};
use platform::rate_limit::{Allowance, Rule};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Context;
use crate::http::TAG;

#[derive(Deserialize, ToSchema)]
pub(crate) struct ConfirmTotp {
    /// What the app shows now.
    #[schema(example = "287082")]
    code: String,
}

/// Ten ways back in, each good once.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecoveryCodes {
    /// Shown this once. Each takes the place of a code at the login.
    #[schema(example = json!(["MZXW-6YTB-OI4T-QPA2"]))]
    recovery_codes: Vec<String>,
}

/// Put the second factor into force
///
/// From now on a login needs a code. Sessions go on. Where admins need a second factor, an admin logs in once more after this.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Accepted and not needed: a code is good once")),
    request_body = ConfirmTotp,
    responses(
        (status = 200, body = RecoveryCodes),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_code`: not a code of now; `invalid_body`"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key: only a person may"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`no_enrolment`: nothing is being set up"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "Not JSON"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json", description = "`too_many_requests`: too many wrong passwords or codes, or too many tries from your address; see `Retry-After`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`unavailable`; see `Retry-After`"),
    ),
)]
#[post("/auth/totp/confirm")]
pub(crate) async fn confirm_totp(
    context: web::Data<Context>,
    caller: Principal,
    allowance: Allowance,
    Json(body): Json<ConfirmTotp>,
) -> Result<HttpResponse, Problem> {
    allowance.spend(Rule::Login).await?;
    let recovery_codes = crate::app::confirm_totp::confirm_totp(&context, caller.user_id, &body.code).await?;
    let body = RecoveryCodes { recovery_codes };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body))
}
