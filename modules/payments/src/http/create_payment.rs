use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use kernel::OrderId;
use platform::access::Principal;
use platform::http::{Json, RequiredIdempotencyKey};
use platform::problem::{Problem, ProblemBody};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Context;
use crate::app::outcome::PaymentBody;
use crate::app::pay::{Pay, pay};
use crate::domain::text::Token;
use crate::http::TAG;
use crate::http::respond::respond;

#[derive(Deserialize, ToSchema)]
pub(crate) struct CreatePayment {
    order_id: OrderId,
    method: PaymentMethod,
    /// `false` only holds the money; an admin captures it later.
    #[serde(default = "at_once")]
    #[schema(default = true)]
    capture: bool,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct PaymentMethod {
    #[serde(rename = "type")]
    kind: MethodKind,
    /// What the provider gave for the card. The sandbox knows `tok_ok`, `tok_declined`, `tok_insufficient_funds`,
    /// `tok_timeout_then_ok` and `tok_slow`.
    #[schema(example = "tok_ok", min_length = 1, max_length = 255, pattern = "^[!-~]+$")]
    token: String,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MethodKind {
    Card,
}

fn at_once() -> bool {
    true
}

/// Everything that matters in the request, for its idempotency key.
#[derive(Serialize)]
struct Meaning<'a> {
    order_id: OrderId,
    method: MethodKind,
    token: &'a str,
    capture: bool,
}

/// Pay an order
///
/// Charges what the order says is due. Sending it again with the same `Idempotency-Key` never charges again: it gives
/// the first answer once more, a declined card included. With `capture: false` the money is only held.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["payments:write"])),
    params(("Idempotency-Key" = String, Header, description = "Of your own making, 1 to 255 visible ASCII characters; repeat it when you retry", example = "5d1c2b3a-pay-1")),
    request_body(content = CreatePayment, example = json!({"order_id": "019357a0-7b2c-7c3e-9f00-5d1c2b3a4f5e", "method": {"type": "card", "token": "tok_ok"}})),
    responses(
        (status = 201, body = PaymentBody, description = "`captured`, or `authorized` with `capture: false`",
            headers(("Idempotency-Replayed" = String, description = "`true` if an earlier request with this key did it"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "A wrong body, or `idempotency_key_required`"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `payments:write`"),
        (status = 402, body = ProblemBody, content_type = "application/problem+json", description = "`card_declined`, with `decline_code`; or `payment_given_up`: nothing was charged"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "You have no such order"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`already_paid`, `order_not_payable`, `payment_in_progress` or `idempotency_key_in_progress`"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "`idempotency_key_reused`: the key came with another request"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`provider_silent` or `unavailable`: ask again with the same key"),
    ),
)]
#[post("/payments")]
pub(crate) async fn create_payment(
    context: web::Data<Context>,
    payer: Principal,
    key: RequiredIdempotencyKey,
    Json(body): Json<CreatePayment>,
) -> Result<HttpResponse, Problem> {
    let token = Token::parse(&body.method.token)
        .ok_or_else(|| Problem::invalid("/method/token", "a token is 1 to 255 visible ASCII characters"))?;
    let meaning = Meaning {
        order_id: body.order_id,
        method: body.method.kind,
        token: token.as_str(),
        capture: body.capture,
    };
    let request = key.covering(&payer.scope(), "POST /payments", &meaning);
    let wish = Pay { order_id: body.order_id, token, capture: body.capture, actor: payer.actor() };
    respond(pay(context.into_inner(), request, wish).await?, StatusCode::CREATED)
}
