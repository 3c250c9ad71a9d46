use actix_web::{HttpResponse, http, patch, web};
use contracts::orders::{Order, OrderStatus};
use kernel::OrderId;
use platform::access::Principal;
use platform::http::{Conditional, ETag, Json, Path};
use platform::problem::{Problem, ProblemBody};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Context;
use crate::app::change_status::{ChangeStatus, change_status};
use crate::error::OrdersError;
use crate::http::TAG;
use crate::store::orders;

#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct PatchStatus {
    status: OrderStatus,
}

/// Move an order to another status
///
/// For admins; an owner may set a `pending` order to `cancelled`. `pending → confirmed | processing | cancelled`,
/// `confirmed → processing | cancelled`, `processing → shipped | cancelled`, `shipped → delivered`, and
/// `cancelled → pending`, which takes the stock again and starts the payment window anew. An order that was paid before
/// it was cancelled is not reactivated: place a new one.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["orders:write"])),
    params(
        ("id" = OrderId, Path, description = "The order"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that you read: 412 if it has changed"),
    ),
    request_body(content = PatchStatus, example = json!({"status": "processing"})),
    responses(
        (status = 200, body = Order, headers(("ETag" = String, description = "Its version"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "No such status"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An owner may only cancel"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such order, or another customer's"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_transition`; `payment_in_progress` or `reactivation_in_progress`: try again in a moment; `insufficient_stock` with `shortages`"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json", description = "It has changed since you read it"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "Inventory does not answer"),
    ),
)]
#[patch("/orders/{id}/status")]
pub(crate) async fn patch_status(
    context: web::Data<Context>,
    caller: Principal,
    Path(order_id): Path<OrderId>,
    conditional: Conditional,
    Json(body): Json<PatchStatus>,
) -> Result<HttpResponse, Problem> {
    let actor = caller.actor();
    let mut request = ChangeStatus { order_id, to: body.status, actor, expected_version: None };
    if conditional.has_if_match() {
        // Checked twice: here against the tag, and again under the lock.
        let row = orders::find(context.db.reader(), order_id, actor).await?.ok_or(OrdersError::NotFound)?;
        conditional.check(&ETag::of(row.version))?;
        request.expected_version = Some(row.version);
    }
    let (order, version) = change_status(&context.into_inner(), request).await?;
    Ok(HttpResponse::Ok().insert_header((http::header::ETAG, ETag::of(version).as_str())).json(order))
}
