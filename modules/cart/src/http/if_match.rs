//! `If-Match` on carts.

use std::convert::Infallible;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest};

use crate::app::change::Expected;

/// The versions that the client names.
///
/// A cart's tag is `"<version>.<digest>"`: the digest covers names, prices and availability, so that `If-None-Match` never
/// hides a new price. A change is about the lines alone, so only the version counts here, and `"<version>"` is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IfMatch(pub(crate) Expected);

impl FromRequest for IfMatch {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut named = request.headers().get_all(header::IF_MATCH).peekable();
        if named.peek().is_none() {
            return ready(Ok(Self(Expected(None))));
        }
        // What is not text names no version: it fits no cart.
        let lists: Vec<&str> = named.map(|value| value.to_str().unwrap_or_default()).collect();
        ready(Ok(Self(read(&lists.join(",")))))
    }
}

fn read(header: &str) -> Expected {
    // There is always a cart, if only an empty one, so `*` always fits.
    if header.trim() == "*" {
        return Expected(None);
    }
    Expected(Some(header.split(',').filter_map(version).collect()))
}

/// The version in `"7"` or `"7.1f0c"`. A weak tag never fits (RFC 9110, 13.1.1).
fn version(tag: &str) -> Option<i64> {
    let inner = tag.trim().strip_prefix('"')?.strip_suffix('"')?;
    let number = inner.split_once('.').map_or(inner, |(number, _digest)| number);
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_with_and_without_a_digest() {
        assert_eq!(read("\"7\", \"8.1f0c\""), Expected(Some(vec![7, 8])));
        assert_eq!(read(" * "), Expected(None));
        assert_eq!(read("W/\"7\", 7, \"x\", \"\""), Expected(Some(Vec::new())));
    }
}
