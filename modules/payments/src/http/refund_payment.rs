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
use crate::domain::text::Reason;
use crate::http::TAG;
use crate::http::optional_body::OptionalJson;
use crate::http::respond::respond;

#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct RefundPayment {
    /// All that is left unless told.
    #[serde(default)]
    amount: Option<Money>,
    /// Why, 1 to 200 characters.
    #[serde(default)]
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        example = "one mug arrived broken"
    )]
    reason: Option<String>,
}

/// Give back money of a captured payment
///
/// All that is left, or part, as often as there is something left. Refunds at the same time never give back more than
/// was captured.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "payments:write"])),
    params(
        ("id" = PaymentId, Path, description = "The payment"),
        ("Idempotency-Key" = String, Header, description = "Of your own making, 1 to 255 visible ASCII characters; repeat it when you retry", example = "5d1c2b3a-refund-1"),
    ),
    request_body(content = Option<RefundPayment>, example = json!({"amount": {"amount": 500, "currency": "GBP"}, "reason": "one mug arrived broken"})),
    responses(
        (status = 200, body = PaymentBody, description = "`partially_refunded` or `refunded`",
            headers(("Idempotency-Replayed" = String, description = "`true` if an earlier request with this key did it"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "A wrong amount, currency or reason, or `idempotency_key_required`"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `payments:write`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such payment"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`refund_exceeds_captured`, with `refundable`; or `provider_refused`"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "`idempotency_key_reused`: the key came with another request"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`provider_silent`: ask again with the same key"),
    ),
)]
#[post("/payments/{id}/refund")]
pub(crate) async fn refund_payment(
    context: web::Data<Context>,
    Admin(admin): Admin,
    Path(payment_id): Path<PaymentId>,
    key: RequiredIdempotencyKey,
    OptionalJson(body): OptionalJson<RefundPayment>,
) -> Result<HttpResponse, Problem> {
    let wrong = || Problem::invalid("/reason", "a reason is 1 to 200 characters without control characters");
    let reason = body.reason.as_deref().map(|text| Reason::parse(text).ok_or_else(wrong)).transpose()?;
    let request = key.covering(&admin.scope(), &format!("POST /payments/{payment_id}/refund"), &body);
    let order = MoveMoney { payment_id, wish: Wish::Refund { amount: body.amount, reason }, by: admin.by() };
    respond(move_money(context.into_inner(), request, order).await?, StatusCode::OK)
}
