use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use kernel::{Money, PaymentId};
use platform::access::Admin;
use platform::http::{Path, RequiredIdempotencyKey};
use platform::problem::{Problem, ProblemBody};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Context;
use crate::app::move_money::{MoveMoney, Wish, move_money};
use crate::app::outcome::PaymentBody;
use crate::http::TAG;
use crate::http::optional_body::OptionalJson;
use crate::http::respond::respond;

#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct CapturePayment {
    /// All that is authorized unless told. The rest is released.
    #[serde(default)]
    amount: Option<Money>,
}

/// Take the money of an authorized payment
///
/// All of it, or part; what is not taken is released, so a payment is captured once.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "payments:write"])),
    params(
        ("id" = PaymentId, Path, description = "The payment"),
        ("Idempotency-Key" = String, Header, description = "Of your own making, 1 to 255 visible ASCII characters; repeat it when you retry", example = "5d1c2b3a-capture-1"),
    ),
    request_body(content = Option<CapturePayment>, example = json!({"amount": {"amount": 1500, "currency": "GBP"}})),
    responses(
        (status = 200, body = PaymentBody, description = "`captured`",
            headers(("Idempotency-Replayed" = String, description = "`true` if an earlier request with this key did it"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "A wrong amount or currency, or `idempotency_key_required`"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `payments:write`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such payment"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`payment_not_authorized`, `capture_exceeds_authorized`, `payment_in_progress` or `provider_refused`"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "`idempotency_key_reused`: the key came with another request"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`provider_silent`: ask again with the same key"),
    ),
)]
#[post("/payments/{id}/capture")]
pub(crate) async fn capture_payment(
    context: web::Data<Context>,
    Admin(admin): Admin,
    Path(payment_id): Path<PaymentId>,
    key: RequiredIdempotencyKey,
    OptionalJson(body): OptionalJson<CapturePayment>,
) -> Result<HttpResponse, Problem> {
    let request = key.covering(&admin.scope(), &format!("POST /payments/{payment_id}/capture"), &body);
    let order = MoveMoney { payment_id, wish: Wish::Capture { amount: body.amount }, by: admin.by() };
    respond(move_money(context.into_inner(), request, order).await?, StatusCode::OK)
}
