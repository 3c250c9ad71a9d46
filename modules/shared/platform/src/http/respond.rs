//! Answers.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;

/// What a use case gives back for a keyed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    pub value: T,
    /// True if an earlier request with the same key did the work.
    pub replayed: bool,
}

impl<T> Answer<T> {
    /// Done now.
    pub fn fresh(value: T) -> Self {
        Self { value, replayed: false }
    }

    /// Done before.
    pub fn replayed(value: T) -> Self {
        Self { value, replayed: true }
    }

    /// The same answer about another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { value: f(self.value), replayed: self.replayed }
    }
}

impl<T: Serialize> Answer<T> {
    /// The response, with `Idempotency-Replayed: true` where it is one.
    pub fn respond(&self, status: StatusCode) -> HttpResponse {
        let mut response = HttpResponse::build(status);
        if self.replayed {
            response.insert_header(("Idempotency-Replayed", "true"));
        }
        response.json(&self.value)
    }
}

/// 200 with a body.
pub fn ok(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok().json(body)
}

/// 201 with a body.
pub fn created(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Created().json(body)
}

/// 204.
pub fn no_content() -> HttpResponse {
    HttpResponse::NoContent().finish()
}
