use actix_web::{HttpResponse, post, web};
use kernel::WebhookId;
use platform::access::Admin;
use platform::http::{IdempotencyKey, Path, ok};
use platform::problem::{Problem, ProblemBody};
use uuid::Uuid;

use crate::Context;
use crate::app;
use crate::http::TAG;
use crate::http::list_deliveries::Delivery;

/// Put a delivery back in line
///
/// It is naturally idempotent: one that is in line already is refused, so an `Idempotency-Key` is accepted and not needed.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "notifications:write"])),
    params(
        ("id" = WebhookId, Path, description = "The endpoint"),
        ("delivery_id" = Uuid, Path, description = "The delivery"),
        ("Idempotency-Key" = Option<String>, Header, description = "Accepted; not needed"),
    ),
    responses(
        (status = 200, body = Delivery),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `notifications:write`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such endpoint or delivery"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`delivery_pending`: it is in line already"),
    ),
)]
#[post("/notifications/webhooks/{id}/deliveries/{delivery_id}/replay")]
pub(crate) async fn replay_delivery(
    context: web::Data<Context>,
    _admin: Admin,
    Path((id, delivery_id)): Path<(WebhookId, Uuid)>,
    _key: IdempotencyKey,
) -> Result<HttpResponse, Problem> {
    Ok(ok(&Delivery::from(app::replay_delivery::replay_delivery(&context, id, delivery_id).await?)))
}
