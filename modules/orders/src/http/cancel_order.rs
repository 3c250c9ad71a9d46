use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use contracts::orders::Order;
use kernel::OrderId;
use platform::access::Principal;
use platform::http::{IdempotencyKey, Path};
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::app::cancel_order::cancel_order as cancel;
use crate::http::TAG;

/// Cancel an order
///
/// An owner while it is `pending` or `confirmed`, an admin also while it is `processing`. The stock is released, and
/// what was paid goes back.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["orders:write"])),
    params(
        ("id" = OrderId, Path, description = "The order"),
        ("Idempotency-Key" = Option<String>, Header, description = "Of your own making; repeat it when you retry"),
    ),
    responses(
        (status = 200, body = Order, headers(("Idempotency-Replayed" = String, description = "`true` if the key had cancelled it before"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "A wrong `Idempotency-Key`"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `orders:write`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such order, or another customer's"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_transition`; `payment_in_progress`: try again in a moment; `idempotency_key_in_progress`"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "`idempotency_key_reused`"),
    ),
)]
#[post("/orders/{id}/cancel")]
pub(crate) async fn cancel_order(
    context: web::Data<Context>,
    caller: Principal,
    Path(order_id): Path<OrderId>,
    key: IdempotencyKey,
) -> Result<HttpResponse, Problem> {
    let key = key.covering(&caller.scope(), &format!("POST /orders/{order_id}/cancel"), &());
    let answer = cancel(&context.into_inner(), order_id, caller.actor(), key).await?;
    Ok(answer.respond(StatusCode::OK))
}
