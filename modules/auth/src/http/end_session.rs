use actix_web::{HttpResponse, delete, web};
use kernel::SessionId;
use platform::access::Principal;
use platform::http::{Path, no_content};
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::error::AuthError;
use crate::http::{SETTLE, TAG};
use crate::store::sessions::EndReason;

/// End one of your sessions
///
/// Its access tokens and its refresh token are refused from now on, by every module. The session of this request may be the one.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = [])),
    params(("id" = SessionId, Path)),
    responses(
        (status = 204, description = "The session has ended"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key: only a person may"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No session of yours that goes on"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`unavailable`"),
    ),
)]
#[delete("/auth/sessions/{id}")]
pub(crate) async fn end_session(
    context: web::Data<Context>,
    caller: Principal,
    Path(id): Path<SessionId>,
) -> Result<HttpResponse, Problem> {
    let context = context.into_inner();
    let system = context.db.system().clone();
    let ended = system
        .to_the_end(async move {
            crate::app::end_session::end_session(&context, caller.user_id, id, EndReason::Logout).await
        })
        .await
        .map_err(AuthError::from)??;
    let committed = ended.ok_or_else(|| Problem::not_found("session"))?;
    committed.settle(SETTLE).await;
    Ok(no_content())
}
