use actix_web::{HttpResponse, post, web};
use platform::http::{Json, no_content};
use platform::problem::{Problem, ProblemBody};
use platform::rate_limit::{Allowance, Rule};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Context;
use crate::app::open_session::Device;
use crate::error::AuthError;
use crate::http::TAG;

/// Not `Debug`: it holds a token and a password.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ResetPassword {
    /// From the letter that `POST /auth/password/forgot` sends; good once and for half an hour.
    #[schema(example = "mTtWm4mTnkPZ0Zq0Hf9zUq0w6rjRr1v4e0bY8m2xqkE")]
    token: String,
    /// 8 to 128 characters of any kind, but none of the most usual passwords, and none of the account's names.
    #[schema(min_length = 8, max_length = 128, example = "seven red boats at noon", format = Password)]
    new_password: String,
}

/// Choose another password with a token from a letter
///
/// Ends every session; log in with the new password. A second factor stays as it is.
#[utoipa::path(
    tag = TAG,
    security(()),
    params(("Idempotency-Key" = Option<String>, Header, description = "Accepted and not needed: a token is good once")),
    request_body = ResetPassword,
    responses(
        (status = 204, description = "The password is another one"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_mailed_token`: unknown, used, expired or replaced; `invalid_body`: the new password cannot be one, and the token is still good"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "Not JSON"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json", description = "`too_many_requests`: too many requests of this kind from your address; see `Retry-After`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`unavailable`; see `Retry-After`"),
    ),
)]
#[post("/auth/password/reset")]
pub(crate) async fn reset_password(
    context: web::Data<Context>,
    allowance: Allowance,
    device: Device,
    Json(body): Json<ResetPassword>,
) -> Result<HttpResponse, Problem> {
    allowance.spend(Rule::Login).await?;
    let context = context.into_inner();
    let system = context.db.system().clone();
    system
        .to_the_end(async move {
            crate::app::reset_password::reset_password(&context, &body.token, body.new_password, &device)
                .await
        })
        .await
        .map_err(AuthError::from)??;
    Ok(no_content())
}
