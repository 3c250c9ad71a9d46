use actix_web::{HttpResponse, post, web};
use platform::http::{Json, no_content};
use platform::problem::{Problem, ProblemBody};
use platform::rate_limit::{Allowance, Rule};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Context;
use crate::http::TAG;

/// Not `Debug`: it holds a token.
#[derive(Deserialize, ToSchema)]
pub(crate) struct VerifyEmail {
    /// From the letter that comes after the registration; good once and for a day.
    #[schema(example = "mTtWm4mTnkPZ0Zq0Hf9zUq0w6rjRr1v4e0bY8m2xqkE")]
    token: String,
}

/// Show that the address of an account is yours, with a token from a letter
#[utoipa::path(
    tag = TAG,
    security(()),
    params(("Idempotency-Key" = Option<String>, Header, description = "Accepted and not needed: a token is good once")),
    request_body = VerifyEmail,
    responses(
        (status = 204, description = "The address is verified"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_mailed_token`: unknown, used, expired or replaced"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "Not JSON"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json", description = "`too_many_requests`: too many requests of this kind from your address; see `Retry-After`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`unavailable`; see `Retry-After`"),
    ),
)]
#[post("/auth/email/verify")]
pub(crate) async fn verify_email(
    context: web::Data<Context>,
    allowance: Allowance,
    Json(body): Json<VerifyEmail>,
) -> Result<HttpResponse, Problem> {
    allowance.spend(Rule::Login).await?;
    crate::app::verify_email::verify_email(&context, &body.token).await?;
    Ok(no_content())
}
