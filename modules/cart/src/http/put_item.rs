use actix_web::{HttpResponse, put, web};
use kernel::Sku;
use platform::http::{Json, Path};
use platform::problem::{Problem, ProblemBody};
use platform::rate_limit::Allowance;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Context;
use crate::app::put_item::put_item;
use crate::app::read::{CartView, show};
use crate::http::caller::Caller;
use crate::http::if_match::IfMatch;
use crate::http::{TAG, answer};

#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct PutItem {
    /// Pieces; 0 takes the SKU out.
    #[schema(minimum = 0, maximum = 10_000, example = 2)]
    quantity: i64,
}

/// Say how many pieces of a SKU the cart holds
///
/// Sets the number, so sending it twice changes nothing more. Whether there is enough stock is shown as `available` and
/// decided at the checkout.
#[utoipa::path(
    tag = TAG,
    security((), ("bearer" = []), ("api_key" = ["cart:write"])),
    params(
        ("sku" = String, Path, description = "The SKU, in either case", example = "MUG-BLUE"),
        ("X-Cart-Token" = Option<String>, Header, description = "A guest's token, from an earlier answer", example = "q1Zk0dM2n6vXv2b7b0m4oT3s8yQWcE5uJr9aHfLxPgI"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that you read, or `\"<version>\"`: 412 if the cart has changed", example = "\"3\""),
    ),
    request_body = PutItem,
    responses(
        (status = 200, body = CartView, headers(
            ("ETag" = String, description = "Its tag"),
            ("X-Cart-Token" = Option<String>, description = "Only for guests: send it from now on"),
        )),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "A body without a whole number `quantity`"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "An access token that is not valid"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `cart:write`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "What stands in the path is no SKU"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json", description = "The cart has changed since you read it"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "`quantity_out_of_range`, `unknown_product`, `retired_product`, `too_many_lines` or `total_too_large`"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json", description = "`too_many_requests`: too many new guest carts from your address; see `Retry-After`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "The catalogue or the inventory does not answer now"),
    ),
)]
#[put("/cart/items/{sku}")]
pub(crate) async fn put_cart_item(
    context: web::Data<Context>,
    Caller(shopper): Caller,
    allowance: Allowance,
    Path(sku): Path<Sku>,
    IfMatch(expected): IfMatch,
    Json(body): Json<PutItem>,
) -> Result<HttpResponse, Problem> {
    let (located, goods) = put_item(&context, &shopper, &allowance, &expected, &sku, body.quantity).await?;
    let view = show(&context, &located, goods).await?;
    Ok(answer::changed(&view))
}
