//! The answers that show a cart.

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderValue};
use platform::http::{Conditional, ETag};
use platform::idempotency;

use crate::app::read::CartView;
use crate::http::caller::CART_TOKEN;

/// 200 with the cart, or 304 if the client has it.
pub(crate) fn cart(conditional: &Conditional, view: &CartView) -> HttpResponse {
    private(conditional.answer(&tag(view), view), view.cart_token.as_deref())
}

/// 200 with the cart as a change left it.
pub(crate) fn changed(view: &CartView) -> HttpResponse {
    cart(&Conditional::default(), view)
}

/// Gives a guest the token, and keeps the answer out of caches that others share.
pub(crate) fn private(mut response: HttpResponse, cart_token: Option<&str>) -> HttpResponse {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Authorization, X-Cart-Token"));
    if let Some(Ok(token)) = cart_token.map(HeaderValue::from_str) {
        headers.insert(CART_TOKEN, token);
    }
    response
}

/// Changes with the lines, and also with what others say of them; see [`crate::http::if_match`].
pub(crate) fn tag(view: &CartView) -> ETag {
    let digest = idempotency::hash(&(view.id, &view.items, view.total));
    let short: String = digest.chars().take(16).collect();
    ETag::of(format_args!("{}.{short}", view.version))
}
