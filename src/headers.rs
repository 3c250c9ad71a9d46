//! What every answer says to the browser that may read it. Around the whole app, so that errors say it, too.
//!
//! NGINX says the same for answers of its own and leaves what a service has said.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web;
use platform::client_address::came_over_tls;

use crate::cors::Cors;

/// Data is not a page: nothing may be loaded for it, and nothing may show it inside of another page.
const DATA_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// The pages are Swagger UI and the tables of `/docs`, which style themselves and draw from `data:`. Their scripts are files.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'",
);
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
const DENY: HeaderValue = HeaderValue::from_static("DENY");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

const CART_TOKEN: HeaderName = HeaderName::from_static("x-cart-token");

/// What the answers of a process have in common.
#[derive(Debug, Clone, Default)]
pub struct AnswerRules {
    pub cors: Cors,
    /// Whether every answer says that the shop is reached by TLS only. Otherwise those do whose request came over it.
    pub hsts: bool,
}

/// The outermost middleware.
pub async fn headers<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let rules = request.app_data::<web::Data<AnswerRules>>().cloned();
    let rules = rules.as_deref().map(AsRef::as_ref).cloned().unwrap_or_default();
    let origin = rules.cors.allowed(request.headers());
    let is_preflight = rules.cors.is_preflight(request.method(), request.headers());
    let is_tls_only = rules.hsts || came_over_tls(request.request());
    let is_private = is_private(&request);
    let mark = |answer: &mut HeaderMap| {
        rules.cors.mark(origin, is_preflight, answer);
        if is_tls_only {
            answer.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
        }
        protect(answer, is_private);
    };
    match next.call(request).await {
        Ok(response) => {
            let mut response = response.map_into_boxed_body();
            mark(response.headers_mut());
            Ok(response)
        }
        Err(error) => {
            let mut response = error.error_response();
            mark(response.headers_mut());
            Err(InternalError::from_response("answered", response).into())
        }
    }
}

/// Whether the answer may hold a token: whatever `auth` says, and what is made by a request that is not a mere look.
fn is_private(request: &ServiceRequest) -> bool {
    let mut segments = request.path().split('/').filter(|segment| !segment.is_empty());
    segments.next() == Some("auth") || !request.method().is_safe()
}

/// Says what the answer has not said itself.
fn protect(answer: &mut HeaderMap, is_private: bool) {
    let is_page =
        answer.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    say(answer, header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    say(answer, header::REFERRER_POLICY, NO_REFERRER);
    say(answer, header::X_FRAME_OPTIONS, DENY);
    say(answer, header::CONTENT_SECURITY_POLICY, if is_page { PAGE_POLICY } else { DATA_POLICY });
    // The answer that gives a guest the token of the cart says less than that of itself, as later answers with the cart do.
    if answer.contains_key(CART_TOKEN) {
        answer.insert(header::CACHE_CONTROL, NO_STORE);
    } else if is_private {
        say(answer, header::CACHE_CONTROL, NO_STORE);
    }
}

fn say(answer: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    if !answer.contains_key(&name) {
        answer.insert(name, value);
    }
}
