//! Which pages of other origins may call the shop. The gateway has the same list in front of a split shop
//! (`SOUK_CORS_ORIGINS`); then the processes behind it have none.
//!
//! Tokens travel in a header that a page sets itself, so credentials (cookies) are never allowed, and neither is a wildcard: who
//! may call is written down.

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, traceparent, tracestate, x-cart-token",
);
const EXPOSED: HeaderValue =
    HeaderValue::from_static("ETag, Idempotency-Replayed, Location, Retry-After, trace-id, x-cart-token");
/// Seconds for which a browser may remember the answer to a preflight.
const REMEMBERED_S: HeaderValue = HeaderValue::from_static("600");

/// The origins that are allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cors(Vec<HeaderValue>);

/// Why a text names no origin.
#[derive(Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no origin such as https://shop.example.com or http://localhost:3000: a scheme, a host in lower case and perhaps a port, and nothing else"
)]
pub struct NoOrigin(String);

impl Cors {
    /// From exact origins.
    pub fn parse(origins: &[String]) -> Result<Self, NoOrigin> {
        let origin = |text: &String| {
            let refusal = || NoOrigin(text.clone());
            if !is_origin(text) {
                return Err(refusal());
            }
            HeaderValue::from_str(text).map_err(|_| refusal())
        };
        origins.iter().map(origin).collect::<Result<_, _>>().map(Self)
    }

    /// The origin of a request, if its pages may call the shop.
    pub fn allowed(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let mut origins = request.get_all(header::ORIGIN);
        let origin = origins.next()?;
        (origins.next().is_none() && self.0.contains(origin)).then(|| origin.clone())
    }

    /// Whether a browser asks what a page of an allowed origin may do.
    pub fn is_preflight(&self, method: &Method, request: &HeaderMap) -> bool {
        method == Method::OPTIONS
            && request.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
            && self.allowed(request).is_some()
    }

    /// What the answer to an allowed origin says, and that it depends on who asks.
    pub fn mark(&self, origin: Option<HeaderValue>, is_preflight: bool, answer: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        answer.append(header::VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = origin else {
            return;
        };
        let mut set = |name: HeaderName, value| answer.insert(name, value);
        set(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        set(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        if is_preflight {
            set(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            set(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
            set(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED_S);
        }
    }
}

/// `scheme://host[:port]`, as browsers write it: no wildcard, no path, no `null`.
fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let (host, port) = match rest.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    let in_host = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-[]:_".contains(c);
    !scheme.is_empty()
        && scheme.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+.-".contains(c))
        && !host.is_empty()
        && host.chars().all(in_host)
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_origins_are_a_list() {
        let good = ["https://shop.example.com", "http://localhost:3000", "http://[::1]:5173", "http://[::1]"];
        assert!(Cors::parse(&good.map(str::to_owned)).is_ok());
        for bad in [
            "*",
            "null",
            "",
            "https://",
            "https://*.example.com",
            "https://shop.example.com/",
            "shop.example.com",
            "https://shop.example.com:port",
            "HTTPS://shop.example.com",
            "https://a.example, https://b.example",
            "https://shop@example.com",
            "https://shop.example.com?x",
        ] {
            assert!(Cors::parse(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
