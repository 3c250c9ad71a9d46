use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use contracts::catalog::ProductRef;
use contracts::orders::{NewOrderLine, Order, PlaceOrder, PlacementKey};
use kernel::{Address, Money, ProductId, Quantity, Sku};
use platform::access::Principal;
use platform::http::{Answer, Json, RequiredIdempotencyKey};
use platform::problem::{Problem, ProblemBody};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Context;
use crate::app::place_order::place_order as place;
use crate::error::QUANTITY_OUT_OF_RANGE;
use crate::http::TAG;

const ROUTE: &str = "POST /orders";

/// What is to be bought.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct NewOrder {
    /// 1 to 100 lines, no SKU twice.
    items: Vec<NewItem>,
    /// Where the parcel goes.
    shipping_address: Option<Address>,
    /// What you believe the whole costs: refused if it does not.
    total: Option<Money>,
}

/// One line; exactly one of `sku` and `product_id`.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct NewItem {
    sku: Option<Sku>,
    #[schema(example = json!(null))]
    product_id: Option<ProductId>,
    #[schema(minimum = 1, maximum = 10_000, example = 2)]
    quantity: i64,
    /// What you believe one piece costs: refused if it does not.
    price: Option<Money>,
}

/// Place an order
///
/// Prices come from the catalogue, and the stock is held until the order is shipped or cancelled. An order that is not
/// paid within the payment window is cancelled.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["orders:write"])),
    params(("Idempotency-Key" = String, Header, description = "Of your own making, 1 to 255 characters; repeat it when you retry")),
    request_body(content = NewOrder, example = json!({
        "items": [{"sku": "MUG-BLUE", "quantity": 2, "price": {"amount": 850, "currency": "GBP"}}],
        "shipping_address": {"name": "Ada Lovelace", "line1": "12 St James's Square", "city": "London", "country": "GB"},
        "total": {"amount": 1700, "currency": "GBP"}
    })),
    responses(
        (status = 201, body = Order, headers(
            ("Location" = String, description = "Where the order is"),
            ("Idempotency-Replayed" = String, description = "`true` if the key had placed it before"),
        )),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "A body that does not fit, or no `Idempotency-Key`"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `orders:write`"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`insufficient_stock` with `shortages`; `idempotency_key_in_progress`"),
        (status = 413, body = ProblemBody, content_type = "application/problem+json", description = "The body is too large"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "Not JSON"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "`price_changed`, `total_mismatch`, `total_too_large`, `unknown_product`, `retired_product`, `duplicate_sku`, `line_count_out_of_range`, `quantity_out_of_range`, `price_too_high`, `idempotency_key_reused`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "Catalogue or inventory do not answer; try again with the same key"),
    ),
)]
#[post("/orders")]
pub(crate) async fn place_order(
    context: web::Data<Context>,
    customer: Principal,
    key: RequiredIdempotencyKey,
    Json(body): Json<NewOrder>,
) -> Result<HttpResponse, Problem> {
    let keyed = key.covering(&customer.scope(), ROUTE, &body);
    let request = PlaceOrder {
        customer: customer.user_id,
        key: PlacementKey { route: keyed.route, key: keyed.key, request_hash: keyed.request_hash },
        lines: body
            .items
            .into_iter()
            .enumerate()
            .map(|(at, item)| line(at, item))
            .collect::<Result<_, _>>()?,
        expected_total: body.total,
        shipping_address: body.shipping_address,
        cart_id: None,
    };
    let placed = place(&context.into_inner(), request).await?;
    let location = format!("/orders/{}", placed.order.id);
    let mut response = Answer { value: placed.order, replayed: placed.replayed }.respond(StatusCode::CREATED);
    if let Ok(location) = actix_web::http::header::HeaderValue::from_str(&location) {
        response.headers_mut().insert(actix_web::http::header::LOCATION, location);
    }
    Ok(response)
}

fn line(at: usize, item: NewItem) -> Result<NewOrderLine, Problem> {
    let product = match (item.sku, item.product_id) {
        (Some(sku), None) => ProductRef::Sku(sku),
        (None, Some(id)) => ProductRef::Id(id),
        _ => {
            return Err(Problem::invalid(
                format!("/items/{at}"),
                "name the product by `sku` or by `product_id`",
            ));
        }
    };
    let quantity = Quantity::parse(item.quantity).map_err(|error| {
        Problem::new(QUANTITY_OUT_OF_RANGE, format!("Line {}: {error}.", at + 1))
            .at(format!("/items/{at}/quantity"), error.to_string())
    })?;
    Ok(NewOrderLine { product, quantity, expected_price: item.price })
}
