use actix_web::{HttpResponse, get, web};
use platform::http::Conditional;
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::app::read::{CartView, read};
use crate::http::caller::Caller;
use crate::http::{TAG, answer};

/// The cart, with the prices of now
///
/// A customer's by the access token, a guest's by `X-Cart-Token`; with both the access token wins. Reading stores
/// nothing: who has no cart sees an empty one without an `id`. A guest without a usable token is given a fresh one, and
/// the first change makes the cart behind it real.
#[utoipa::path(
    tag = TAG,
    security((), ("bearer" = []), ("api_key" = ["cart:read"])),
    params(
        ("X-Cart-Token" = Option<String>, Header, description = "A guest's token, from an earlier answer", example = "q1Zk0dM2n6vXv2b7b0m4oT3s8yQWcE5uJr9aHfLxPgI"),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag` that you have: 304 if it still holds"),
    ),
    responses(
        (status = 200, body = CartView, headers(
            ("ETag" = String, description = "Changes with the lines and with what the shop says of them"),
            ("X-Cart-Token" = Option<String>, description = "Only for guests: send it from now on"),
        )),
        (status = 304, description = "You have it"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "An access token that is not valid"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `cart:read`"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "`total_too_large`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "The catalogue or the inventory does not answer now"),
    ),
)]
#[get("/cart")]
pub(crate) async fn get_cart(
    context: web::Data<Context>,
    Caller(shopper): Caller,
    conditional: Conditional,
) -> Result<HttpResponse, Problem> {
    let view = read(&context, &shopper).await?;
    Ok(answer::cart(&conditional, &view))
}
