use actix_web::{HttpResponse, post, web};
use platform::access::Principal;
use platform::http::no_content;
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::app::end_session::end_session;
use crate::error::AuthError;
use crate::http::{SETTLE, TAG};
use crate::store::sessions::EndReason;

/// End the session of the access token
///
/// Its access tokens and its refresh token are refused from now on, by every module.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = [])),
    responses(
        (status = 204, description = "The session has ended"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key: this takes a person"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`unavailable`"),
    ),
)]
#[post("/auth/logout")]
pub(crate) async fn logout(context: web::Data<Context>, caller: Principal) -> Result<HttpResponse, Problem> {
    let context = context.into_inner();
    let system = context.db.system().clone();
    let ended = system
        .to_the_end(async move {
            end_session(&context, caller.user_id, caller.session_id, EndReason::Logout).await
        })
        .await
        .map_err(AuthError::from)??;
    if let Some(committed) = ended {
        committed.settle(SETTLE).await;
    }
    Ok(no_content())
}
