//! The `Idempotency-Key` header.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::Serialize;

use crate::idempotency::{self, KeyedRequest};
use crate::problem::{Problem, codes};

const HEADER: &str = "Idempotency-Key";

/// The key of a POST where it is optional.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub Option<String>);

/// The key of a POST that moves money or stock: 400 without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredIdempotencyKey(pub String);

impl IdempotencyKey {
    /// The key with what it covers. `route` is the method and path as called, and `meaning` everything in the request that matters.
    pub fn covering(self, principal: &str, route: &str, meaning: &impl Serialize) -> Option<KeyedRequest> {
        self.0.map(|key| KeyedRequest {
            principal: principal.to_owned(),
            route: route.to_owned(),
            key,
            request_hash: idempotency::hash(meaning),
        })
    }
}

impl RequiredIdempotencyKey {
    /// As [`IdempotencyKey::covering`].
    pub fn covering(self, principal: &str, route: &str, meaning: &impl Serialize) -> KeyedRequest {
        KeyedRequest {
            principal: principal.to_owned(),
            route: route.to_owned(),
            key: self.0,
            request_hash: idempotency::hash(meaning),
        }
    }
}

fn read(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let mut values = request.headers().get_all(HEADER);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let wrong = || {
        Problem::new(
            codes::INVALID_HEADER,
            "Idempotency-Key is 1 to 255 visible ASCII characters, sent once.",
        )
    };
    let key = value.to_str().map_err(|_| wrong())?.trim();
    if values.next().is_some() || key.is_empty() || key.len() > 255 {
        return Err(wrong());
    }
    Ok(Some(key.to_owned()))
}

impl FromRequest for IdempotencyKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request).map(Self))
    }
}

impl FromRequest for RequiredIdempotencyKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request).and_then(|key| {
            key.map(Self).ok_or_else(|| {
                Problem::new(
                    codes::IDEMPOTENCY_KEY_REQUIRED,
                    "Send an `Idempotency-Key` header of your own making (a UUID is good); repeat it when you retry.",
                )
            })
        }))
    }
}
