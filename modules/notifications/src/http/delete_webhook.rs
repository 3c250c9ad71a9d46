use actix_web::{HttpResponse, delete, web};
use kernel::WebhookId;
use platform::access::Admin;
use platform::http::{Path, no_content};
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::app;
use crate::http::TAG;

/// Remove an endpoint and its deliveries
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "notifications:write"])),
    params(("id" = WebhookId, Path, description = "The endpoint")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `notifications:write`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such endpoint"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`webhook_configured`: it stands in the settings"),
    ),
)]
#[delete("/notifications/webhooks/{id}")]
pub(crate) async fn delete_webhook(
    context: web::Data<Context>,
    _admin: Admin,
    Path(id): Path<WebhookId>,
) -> Result<HttpResponse, Problem> {
    app::delete_webhook::delete_webhook(&context, id).await?;
    Ok(no_content())
}
