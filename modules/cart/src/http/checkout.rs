use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use contracts::orders::Order;
use kernel::{Address, Money};
use platform::access::Principal;
use platform::http::{Json, RequiredIdempotencyKey};
use platform::problem::{Problem, ProblemBody};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Context;
use crate::app::checkout::{Checkout, checkout};
use crate::http::TAG;

#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CheckoutBody {
    /// Where the parcel goes.
    shipping_address: Address,
    /// What you showed your customer: 422 `total_mismatch` if the order would cost something else.
    expected_total: Option<Money>,
}

/// Turn the cart into an order
///
/// All of the cart or nothing, at the catalogue's prices. What was ordered leaves the cart; what is put in meanwhile
/// stays. The same key gives the same order again, also when the cart is long gone. After a 503 it is unknown whether
/// there is an order: ask again with the same key, which asks for the same lines.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["cart:write", "orders:write"])),
    params(
        ("Idempotency-Key" = String, Header, description = "Of your own making, 1 to 255 characters; the same again for a retry", example = "6f0d2c1e-8a4b-4c58-9f0e-2b7d5a913c44"),
    ),
    request_body = CheckoutBody,
    responses(
        (status = 201, body = Order, headers(
            ("Idempotency-Replayed" = Option<String>, description = "`true` if an earlier request with this key placed the order"),
        )),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "A bad body, or `idempotency_key_required`"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token: guests log in and merge their cart first"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scopes `cart:write` and `orders:write`"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`insufficient_stock` with `shortages`, `cart_already_ordered` or `idempotency_key_in_progress`"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "`cart_empty`, `price_changed`, `total_mismatch`, `unknown_product`, `retired_product`, `price_too_high`, `total_too_large` or `idempotency_key_reused`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "A part of the shop does not answer now; nothing is lost"),
    ),
)]
#[post("/cart/checkout")]
pub(crate) async fn checkout_cart(
    context: web::Data<Context>,
    principal: Principal,
    RequiredIdempotencyKey(key): RequiredIdempotencyKey,
    Json(body): Json<CheckoutBody>,
) -> Result<HttpResponse, Problem> {
    let request = Checkout {
        customer: principal.user_id,
        key,
        shipping_address: body.shipping_address,
        expected_total: body.expected_total,
    };
    let context = context.into_inner();
    let system = context.db.system().clone();
    // A client that goes away must not leave an order behind whose cart is still open.
    let work = system.to_the_end(async move { checkout(&context, request).await });
    let answer = work.await.map_err(|error| Problem::internal(&error))??;
    Ok(answer.respond(StatusCode::CREATED))
}
