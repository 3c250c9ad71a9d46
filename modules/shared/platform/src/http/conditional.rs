//! Entity tags (RFC 9110, 8.8.3): `If-None-Match` saves a transfer, `If-Match` saves a lost update.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder};
use serde::Serialize;

use crate::problem::{Problem, codes};

/// A strong entity tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(String);

impl ETag {
    /// From a version that changes whenever the representation does: a counter, or a time with more.
    pub fn of(version: impl std::fmt::Display) -> Self {
        Self(format!("\"{version}\""))
    }

    /// The tag with its quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The conditions of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditional {
    if_match: Option<String>,
    if_none_match: Option<String>,
}

impl Conditional {
    /// 200 with the body and its tag, or 304 if the client has it.
    pub fn answer(&self, tag: &ETag, body: &impl Serialize) -> HttpResponse {
        self.answer_with(tag, |mut answer| answer.json(body))
    }

    /// The same with a body that is JSON already.
    pub fn answer_json(&self, tag: &ETag, body: Bytes) -> HttpResponse {
        self.answer_with(tag, |mut answer| answer.content_type("application/json").body(body))
    }

    fn answer_with(
        &self,
        tag: &ETag,
        full: impl FnOnce(HttpResponseBuilder) -> HttpResponse,
    ) -> HttpResponse {
        let has_it = self.if_none_match.as_deref().is_some_and(|tags| lists(tags, tag, true));
        let mut answer = if has_it { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        answer.insert_header((header::ETAG, tag.as_str()));
        if has_it { answer.finish() } else { full(answer) }
    }

    /// Refuses (412) if the client changes something that is no longer what it read.
    pub fn check(&self, tag: &ETag) -> Result<(), Problem> {
        match self.if_match.as_deref() {
            Some(tags) if !lists(tags, tag, false) => Err(Self::changed(tag)),
            _ => Ok(()),
        }
    }

    /// Whether the client named a version at all.
    pub fn has_if_match(&self) -> bool {
        self.if_match.is_some()
    }

    /// The refusal of [`Conditional::check`], for a change that was overtaken later.
    pub fn changed(tag: &ETag) -> Problem {
        Problem::new(
            codes::PRECONDITION_FAILED,
            "It has changed since you read it. Read it again and decide anew.",
        )
        .header(header::ETAG, tag.as_str())
    }
}

/// Whether a header such as `"a", W/"b"` or `*` lists a tag; `weak` comparison ignores the `W/`.
fn lists(header: &str, tag: &ETag, weak: bool) -> bool {
    header.trim() == "*"
        || header.split(',').map(str::trim).any(|listed| {
            let listed = if weak { listed.strip_prefix("W/").unwrap_or(listed) } else { listed };
            listed == tag.as_str()
        })
}

impl FromRequest for Conditional {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let read = |name: header::HeaderName| {
            request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        ready(Ok(Self { if_match: read(header::IF_MATCH), if_none_match: read(header::IF_NONE_MATCH) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_in_lists() {
        let tag = ETag::of(7);
        assert!(
            lists("*", &tag, false) && lists("\"7\"", &tag, false) && lists("\"6\", W/\"7\"", &tag, true)
        );
        assert!(!lists("W/\"7\"", &tag, false) && !lists("\"70\"", &tag, true) && !lists("7", &tag, true));
    }
}
