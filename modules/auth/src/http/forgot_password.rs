use actix_web::{HttpResponse, post, web};
use kernel::EmailAddress;
use platform::http::Json;
use platform::problem::{Problem, ProblemBody, chain};
use platform::rate_limit::{Allowance, Rule};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Context;
use crate::error::AuthError;
use crate::http::TAG;

#[derive(Deserialize, ToSchema)]
pub(crate) struct ForgotPassword {
    email: EmailAddress,
}

/// Have a token mailed that allows to choose another password
///
/// The answer is the same, and as fast, whether there is such an account or not. At most three letters go to one address in fifteen minutes.
#[utoipa::path(
    tag = TAG,
    security(()),
    params(("Idempotency-Key" = Option<String>, Header, description = "Accepted and not needed: a later token makes an earlier one void")),
    request_body = ForgotPassword,
    responses(
        (status = 202, description = "If there is such an account, its owner gets a letter"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_body`: not an email address"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "Not JSON"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json", description = "`too_many_requests`: too many requests of this kind from your address; see `Retry-After`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`unavailable`; see `Retry-After`"),
    ),
)]
#[post("/auth/password/forgot")]
pub(crate) async fn forgot_password(
    context: web::Data<Context>,
    allowance: Allowance,
    Json(body): Json<ForgotPassword>,
) -> Result<HttpResponse, Problem> {
    allowance.spend(Rule::Login).await?;
    let context = context.into_inner();
    let turn = context.letters.clone().try_acquire_owned().map_err(|_| AuthError::Busy)?;
    let system = context.db.system().clone();
    // Nobody waits for it: how long it takes would tell whether the account exists.
    tokio::spawn(async move {
        let work = async move {
            let mailed = crate::app::forgot_password::forgot_password(&context, &body.email).await;
            drop(turn);
            mailed
        };
        match system.to_the_end(work).await.map_err(AuthError::from) {
            Ok(Ok(())) => {}
            Ok(Err(error)) | Err(error) => {
                tracing::warn!(cause = %chain(&error), "a letter to reset a password was not prepared");
            }
        }
    });
    Ok(HttpResponse::Accepted().finish())
}
