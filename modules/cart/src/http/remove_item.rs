use actix_web::{HttpResponse, delete, web};
use kernel::Sku;
use platform::http::Path;
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::app::read::{CartView, show};
use crate::app::remove_item::remove_item;
use crate::http::caller::Caller;
use crate::http::if_match::IfMatch;
use crate::http::{TAG, answer};

/// Take a SKU out of the cart
///
/// Nothing happens if it is not in.
#[utoipa::path(
    tag = TAG,
    security((), ("bearer" = []), ("api_key" = ["cart:write"])),
    params(
        ("sku" = String, Path, description = "The SKU, in either case", example = "MUG-BLUE"),
        ("X-Cart-Token" = Option<String>, Header, description = "A guest's token, from an earlier answer", example = "q1Zk0dM2n6vXv2b7b0m4oT3s8yQWcE5uJr9aHfLxPgI"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that you read, or `\"<version>\"`: 412 if the cart has changed", example = "\"3\""),
    ),
    responses(
        (status = 200, body = CartView, headers(
            ("ETag" = String, description = "Its tag"),
            ("X-Cart-Token" = Option<String>, description = "Only for guests: send it from now on"),
        )),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "An access token that is not valid"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `cart:write`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "What stands in the path is no SKU"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json", description = "The cart has changed since you read it"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "`total_too_large`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "The catalogue or the inventory does not answer now"),
    ),
)]
#[delete("/cart/items/{sku}")]
pub(crate) async fn remove_cart_item(
    context: web::Data<Context>,
    Caller(shopper): Caller,
    Path(sku): Path<Sku>,
    IfMatch(expected): IfMatch,
) -> Result<HttpResponse, Problem> {
    let (located, goods) = remove_item(&context, &shopper, &expected, &sku).await?;
    let view = show(&context, &located, goods).await?;
    Ok(answer::changed(&view))
}
