use actix_web::{HttpResponse, delete, web};
use platform::http::no_content;
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::app::clear::clear;
use crate::domain::token::CartToken;
use crate::http::caller::Caller;
use crate::http::if_match::IfMatch;
use crate::http::{TAG, answer};

/// Take everything out of the cart
#[utoipa::path(
    tag = TAG,
    security((), ("bearer" = []), ("api_key" = ["cart:write"])),
    params(
        ("X-Cart-Token" = Option<String>, Header, description = "A guest's token, from an earlier answer", example = "q1Zk0dM2n6vXv2b7b0m4oT3s8yQWcE5uJr9aHfLxPgI"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that you read, or `\"<version>\"`: 412 if the cart has changed", example = "\"3\""),
    ),
    responses(
        (status = 204, description = "It is empty", headers(
            ("X-Cart-Token" = Option<String>, description = "Only for guests: send it from now on"),
        )),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "An access token that is not valid"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `cart:write`"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json", description = "The cart has changed since you read it"),
    ),
)]
#[delete("/cart")]
pub(crate) async fn clear_cart(
    context: web::Data<Context>,
    Caller(shopper): Caller,
    IfMatch(expected): IfMatch,
) -> Result<HttpResponse, Problem> {
    let located = clear(&context, &shopper, &expected).await?;
    Ok(answer::private(no_content(), located.token.as_ref().map(CartToken::to_text).as_deref()))
}
