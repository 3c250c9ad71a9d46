//! Query strings, as strict as bodies: a parameter that is unknown or does not parse is a 400.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;

use crate::problem::{Problem, codes};

/// A query string of type `T`; give `T` the attribute `#[serde(deny_unknown_fields)]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        if form_pairs(request.query_string()).any(|(name, value)| name.contains('\0') || value.contains('\0'))
        {
            let detail = "The query has the character U+0000, which no text here may hold.";
            return ready(Err(Problem::new(codes::INVALID_QUERY, detail)));
        }
        let reader = serde_urlencoded::Deserializer::new(form_pairs(request.query_string()));
        ready(serde_path_to_error::deserialize(reader).map(Self).map_err(|error| {
            let path = error.path().to_string();
            let cause = error.into_inner().to_string();
            let detail = if path == "." { format!("{cause}.") } else { format!("`{path}`: {cause}.") };
            Problem::new(codes::INVALID_QUERY, detail)
        }))
    }
}

fn form_pairs(query: &str) -> form::Parse<'_> {
    form::parse(query.as_bytes())
}

use form_urlencoded as form;
