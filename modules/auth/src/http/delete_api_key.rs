use std::time::Duration;

use actix_web::{HttpResponse, delete, web};
use kernel::ApiKeyId;
use platform::access::Principal;
use platform::http::{Path, no_content};
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::app;
use crate::error::AuthError;
use crate::http::TAG;

/// How long the answer waits for the other modules to hear of it.
const SETTLE: Duration = Duration::from_millis(500);

/// Revoke an API key
///
/// It is refused from now on, by every module. Its owner may do that, and an admin.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = [])),
    params(("id" = ApiKeyId, Path, description = "The key")),
    responses(
        (status = 204, description = "It is revoked"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key: this takes a person"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such key of yours, or revoked before"),
    ),
)]
#[delete("/auth/api-keys/{id}")]
pub(crate) async fn delete_api_key(
    context: web::Data<Context>,
    caller: Principal,
    Path(id): Path<ApiKeyId>,
) -> Result<HttpResponse, Problem> {
    let context = context.into_inner();
    let system = context.db.system().clone();
    let work = async move { app::revoke_api_key::revoke_api_key(&context, caller.actor(), id).await };
    let committed = system.to_the_end(work).await.map_err(AuthError::from)??;
    committed.settle(SETTLE).await;
    Ok(no_content())
}
