use actix_web::{HttpResponse, get, web};
use kernel::{OrderId, Timestamp, UserId};
use platform::access::Principal;
use platform::http::{Path, ok};
use platform::problem::{Problem, ProblemBody};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Context;
use crate::error::OrdersError;
use crate::http::TAG;
use crate::store::{orders, timeline};

/// What happened to an order, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Timeline {
    events: Vec<TimelineEvent>,
}

/// One thing that happened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TimelineEvent {
    /// `created`, `status_changed`, `updated`, `payment_authorized`, `payment_captured`, `payment_voided`,
    /// `payment_failed`, `payment_refunded`; more may come.
    #[serde(rename = "type")]
    #[schema(example = "status_changed")]
    kind: String,
    at: Timestamp,
    /// Who did it; null for the shop itself.
    #[schema(required = true)]
    actor_id: Option<UserId>,
    /// The status before, where it changed.
    #[schema(required = true, example = "pending")]
    from: Option<String>,
    /// The status after, where it changed.
    #[schema(required = true, example = "confirmed")]
    to: Option<String>,
    /// More about it, such as `reason` or `amount`.
    #[schema(required = true, value_type = Option<Object>, example = json!({"reason": "payment_captured"}))]
    data: Option<serde_json::Value>,
}

impl From<timeline::Model> for TimelineEvent {
    fn from(row: timeline::Model) -> Self {
        Self {
            kind: row.kind,
            at: Timestamp::from_ms(row.at_ms),
            actor_id: row.actor_id.map(UserId),
            from: row.from_status,
            to: row.to_status,
            data: row.data,
        }
    }
}

/// What happened to an order, oldest first
///
/// At most the first 1,000 entries.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["orders:read"])),
    params(("id" = OrderId, Path, description = "The order")),
    responses(
        (status = 200, body = Timeline),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `orders:read`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such order, or another customer's"),
    ),
)]
#[get("/orders/{id}/timeline")]
pub(crate) async fn get_timeline(
    context: web::Data<Context>,
    reader: Principal,
    Path(id): Path<OrderId>,
) -> Result<HttpResponse, Problem> {
    let conn = context.db.reader();
    let row = orders::find(conn, id, reader.actor()).await?.ok_or(OrdersError::NotFound)?;
    let events = timeline::of(conn, row.order_id()).await?.into_iter().map(TimelineEvent::from).collect();
    Ok(ok(&Timeline { events }))
}
