use actix_web::{HttpResponse, delete, web};
use platform::access::Principal;
use platform::http::{Json, no_content};
use platform::problem::{Problem, ProblemBody};
use platform::rate_limit::{Allowance, Rule};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Context;
use crate::app::open_session::Device;
use crate::domain::password::Password;
use crate::http::TAG;

/// Not `Debug`: it holds a password.
#[derive(Deserialize, ToSchema)]
pub(crate) struct RemoveTotp {
    #[schema(example = "correct horse battery staple", format = Password)]
    password: String,
    /// What the app shows now, or a recovery code.
    #[schema(example = "287082")]
    code: String,
}

/// Take the second factor away
///
/// Needs both factors once more. Its recovery codes are void.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = [])),
    request_body = RemoveTotp,
    responses(
        (status = 204, description = "A login needs no code any more"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_body`"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token, or `invalid_second_factor`: the code is not good"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "`wrong_password`"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`no_second_factor`: there is none; `second_factor_needed`: admins need one here"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "Not JSON"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json", description = "`too_many_requests`: too many wrong passwords or codes, or too many tries from your address; see `Retry-After`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`unavailable`; see `Retry-After`"),
    ),
)]
#[delete("/auth/totp")]
pub(crate) async fn remove_totp(
    context: web::Data<Context>,
    caller: Principal,
    allowance: Allowance,
    device: Device,
    Json(body): Json<RemoveTotp>,
) -> Result<HttpResponse, Problem> {
    allowance.spend(Rule::Login).await?;
    let password = Password::typed(body.password);
    crate::app::remove_totp::remove_totp(&context, caller.user_id, password, &body.code, &device).await?;
    Ok(no_content())
}
