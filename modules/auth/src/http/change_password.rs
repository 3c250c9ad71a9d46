use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use platform::access::Principal;
use platform::http::Json;
use platform::problem::{Problem, ProblemBody};
use platform::rate_limit::{Allowance, Rule};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Context;
use crate::app::open_session::Device;
use crate::domain::password::Password;
use crate::error::AuthError;
use crate::http::TAG;
use crate::http::tokens::Tokens;

/// Not `Debug`: it holds passwords.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ChangePassword {
    #[schema(example = "correct horse battery staple", format = Password)]
    current_password: String,
    /// 8 to 128 characters of any kind, but none of the most usual passwords, and none of your names.
    #[schema(min_length = 8, max_length = 128, example = "seven red boats at noon", format = Password)]
    new_password: String,
}

/// Choose another password
///
/// Ends every session, this one too, and answers with a new one, so that nobody else goes on with an old token. Wrong passwords count
/// as those of the login do.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Accepted and not needed: a repetition finds that the current password is another one")),
    request_body = ChangePassword,
    responses(
        (status = 200, body = Tokens),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_body`: the new password cannot be one; the detail says why"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "`wrong_password`: the current one is another"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "Not JSON"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json", description = "`too_many_requests`: too many wrong passwords, or too many tries from your address; see `Retry-After`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`unavailable`; see `Retry-After`"),
    ),
)]
#[post("/auth/password/change")]
pub(crate) async fn change_password(
    context: web::Data<Context>,
    caller: Principal,
    allowance: Allowance,
    device: Device,
    Json(body): Json<ChangePassword>,
) -> Result<HttpResponse, Problem> {
    allowance.spend(Rule::Login).await?;
    let context = context.into_inner();
    let system = context.db.system().clone();
    let current = Password::typed(body.current_password);
    let new = body.new_password;
    let pair = system
        .to_the_end(async move {
            crate::app::change_password::change_password(&context, caller.actor(), current, new, &device)
                .await
        })
        .await
        .map_err(AuthError::from)??;
    Ok(Tokens::from(pair).respond(StatusCode::OK))
}
