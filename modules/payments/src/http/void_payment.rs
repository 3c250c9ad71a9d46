use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use kernel::PaymentId;
use platform::access::Admin;
use platform::http::{Path, RequiredIdempotencyKey};
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::app::move_money::{MoveMoney, Wish, move_money};
use crate::app::outcome::PaymentBody;
use crate::http::TAG;
use crate::http::respond::respond;

/// Let go the money of an authorized payment
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "payments:write"])),
    params(
        ("id" = PaymentId, Path, description = "The payment"),
        ("Idempotency-Key" = String, Header, description = "Of your own making, 1 to 255 visible ASCII characters; repeat it when you retry", example = "5d1c2b3a-void-1"),
    ),
    responses(
        (status = 200, body = PaymentBody, description = "`voided`",
            headers(("Idempotency-Replayed" = String, description = "`true` if an earlier request with this key did it"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`idempotency_key_required`"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `payments:write`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such payment"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`payment_not_authorized`, `payment_in_progress` or `provider_refused`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`provider_silent`: ask again with the same key"),
    ),
)]
#[post("/payments/{id}/void")]
pub(crate) async fn void_payment(
    context: web::Data<Context>,
    Admin(admin): Admin,
    Path(payment_id): Path<PaymentId>,
    key: RequiredIdempotencyKey,
) -> Result<HttpResponse, Problem> {
    let request = key.covering(&admin.scope(), &format!("POST /payments/{payment_id}/void"), &());
    let order = MoveMoney { payment_id, wish: Wish::Void, by: admin.by() };
    respond(move_money(context.into_inner(), request, order).await?, StatusCode::OK)
}
