//! Whose cart a request is about: a customer's by the access token, a guest's by `X-Cart-Token`.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::HeaderName;
use actix_web::{FromRequest, HttpRequest};
use platform::access::MaybePrincipal;
use platform::problem::Problem;

use crate::app::Shopper;
use crate::domain::token::CartToken;

/// The header that a guest carries.
pub(crate) const CART_TOKEN: HeaderName = HeaderName::from_static("x-cart-token");

/// With both an access token and a cart token the access token wins. One that is not valid is refused, never ignored:
/// a customer whose login has run out must not fill a guest's cart unawares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller(pub(crate) Shopper);

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let principal = MaybePrincipal::from_request(request, payload).into_inner();
        ready(principal.map(|MaybePrincipal(principal)| match principal {
            Some(principal) => Self(Shopper::Customer(principal.user_id)),
            None => Self(Shopper::Guest(cart_token(request))),
        }))
    }
}

/// A token that cannot be read names no cart, so it counts as none.
fn cart_token(request: &HttpRequest) -> Option<CartToken> {
    request.headers().get(CART_TOKEN).and_then(|value| value.to_str().ok()).and_then(CartToken::parse)
}
