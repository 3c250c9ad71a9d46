use actix_web::{HttpResponse, get, web};
use kernel::{EventId, Page, Timestamp, WebhookId};
use platform::access::Admin;
use platform::http::{Path, Query, ok, page_of};
use platform::problem::{Problem, ProblemBody};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::Context;
use crate::error::NotificationsError;
use crate::http::{ListParams, TAG};
use crate::store::{deliveries, webhooks};

/// One event for one endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Delivery {
    id: Uuid,
    event_id: EventId,
    #[schema(example = "order.created")]
    event: String,
    /// What the endpoint is sent: `{"event", "data", "timestamp"}`.
    #[schema(value_type = Object, example = json!({"event": "order.created", "data": {}, "timestamp": "2026-03-01T12:00:00.000Z"}))]
    payload: serde_json::Value,
    /// `pending`, `delivered` or `failed`.
    #[schema(example = "pending")]
    status: String,
    attempts: i64,
    created_at: Timestamp,
    #[schema(required = true)]
    delivered_at: Option<Timestamp>,
}

impl From<deliveries::Model> for Delivery {
    fn from(row: deliveries::Model) -> Self {
        Self {
            id: row.id,
            event_id: EventId(row.event_id),
            event: row.event,
            payload: row.payload,
            status: row.status,
            attempts: row.attempts,
            created_at: Timestamp::from_ms(row.created_at_ms),
            delivered_at: row.delivered_at_ms.map(Timestamp::from_ms),
        }
    }
}

/// What one endpoint is told, newest first
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "notifications:read"])),
    params(("id" = WebhookId, Path, description = "The endpoint"), ListParams),
    responses(
        (status = 200, body = Page<Delivery>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "An unknown or wrong parameter"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `notifications:read`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such endpoint"),
    ),
)]
#[get("/notifications/webhooks/{id}/deliveries")]
pub(crate) async fn list_deliveries(
    context: web::Data<Context>,
    _admin: Admin,
    Path(id): Path<WebhookId>,
    Query(query): Query<ListParams>,
) -> Result<HttpResponse, Problem> {
    let (limit, cursor) = page_of(query.limit, query.cursor.as_deref())?;
    webhooks::find(context.db.reader(), id).await?.ok_or(NotificationsError::NotFound("webhook"))?;
    let page = deliveries::page_of(context.db.reader(), id, limit, cursor.as_ref()).await??;
    Ok(ok(&page.map(Delivery::from)))
}
