//! Which client a request comes from, as far as it says so.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest};
use platform::client_address::client_address;
use platform::problem::Problem;

use crate::app::open_session::Device;

/// The most characters of a user agent that are kept.
const MAX_USER_AGENT: usize = 200;

impl FromRequest for Device {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let said = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let kept: String = said
            .unwrap_or_default()
            .trim()
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_USER_AGENT)
            .collect();
        let user_agent = Some(kept).filter(|text| !text.is_empty());
        ready(Ok(Self { user_agent, address: client_address(request) }))
    }
}
