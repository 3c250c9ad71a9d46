use actix_web::{HttpResponse, post, web};
use platform::access::Principal;
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::http::TAG;

/// Have the letter that verifies your address sent once more
///
/// Nothing is sent if it is verified. At most three letters go to one address in fifteen minutes.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = [])),
    responses(
        (status = 202, description = "A letter is on its way, if one is needed"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key: only a person may"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`unavailable`; see `Retry-After`"),
    ),
)]
#[post("/auth/email/verification")]
pub(crate) async fn request_email_verification(
    context: web::Data<Context>,
    caller: Principal,
) -> Result<HttpResponse, Problem> {
    crate::app::request_email_verification::request_email_verification(
        &context,
        caller.user_id,
        &caller.email,
    )
    .await?;
    Ok(HttpResponse::Accepted().finish())
}
