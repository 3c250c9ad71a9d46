use actix_web::http::header;
use actix_web::{HttpResponse, post, web};
use platform::access::Principal;
use platform::http::Json;
use platform::problem::{Problem, ProblemBody};
use platform::rate_limit::{Allowance, Rule};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Context;
use crate::app::open_session::Device;
use crate::domain::password::Password;
use crate::http::TAG;

/// Not `Debug`: it holds a password.
#[derive(Deserialize, ToSchema)]
pub(crate) struct BeginTotp {
    #[schema(example = "correct horse battery staple", format = Password)]
    password: String,
}

/// What an authenticator app is told.
#[derive(Serialize, ToSchema)]
pub(crate) struct TotpEnrolment {
    /// Base32, to type.
    #[schema(example = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")]
    secret: String,
    /// To show as a QR code.
    #[schema(
        example = "otpauth://totp/Souk:ada%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Souk&algorithm=SHA1&digits=6&period=30"
    )]
    otpauth_uri: String,
}

/// Begin to set up an authenticator app as a second factor
///
/// Nothing changes before `POST /auth/totp/confirm` has seen a code of it. Beginning again replaces the secret.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Accepted and not needed: beginning again replaces the secret")),
    request_body = BeginTotp,
    responses(
        (status = 200, body = TotpEnrolment),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_body`"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "`wrong_password`"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`second_factor_in_force`: take it away first"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "Not JSON"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json", description = "`too_many_requests`: too many wrong passwords or codes, or too many tries from your address; see `Retry-After`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`unavailable`; see `Retry-After`"),
    ),
)]
#[post("/auth/totp")]
pub(crate) async fn begin_totp(
    context: web::Data<Context>,
    caller: Principal,
    allowance: Allowance,
    device: Device,
    Json(body): Json<BeginTotp>,
) -> Result<HttpResponse, Problem> {
    allowance.spend(Rule::Login).await?;
    let password = Password::typed(body.password);
    let begun = crate::app::begin_totp::begin_totp(&context, caller.user_id, password, &device).await?;
    let body = TotpEnrolment { secret: begun.secret, otpauth_uri: begun.uri };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body))
}
