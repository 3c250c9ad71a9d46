//! A JSON body that may be left out.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest};
use platform::http::Json;
use platform::problem::Problem;
use serde::de::DeserializeOwned;

/// The body, or the default of `T` where there is none. A body that is there must be right: a broken one is never
/// taken for a missing one, as that would turn a mistyped partial refund into a whole one.
#[derive(Debug)]
pub(super) struct OptionalJson<T>(pub(super) T);

impl<T: DeserializeOwned + Default + 'static> FromRequest for OptionalJson<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let headers = request.headers();
        let length = headers.get(header::CONTENT_LENGTH).map(|value| value.as_bytes() == b"0");
        // HTTP/2 needs neither header for a body; then it names at least its type.
        let absent = length.unwrap_or_else(|| {
            !headers.contains_key(header::TRANSFER_ENCODING) && !headers.contains_key(header::CONTENT_TYPE)
        });
        if absent {
            return Box::pin(async { Ok(Self(T::default())) });
        }
        let body = Json::<T>::from_request(request, payload);
        Box::pin(async move { body.await.map(|Json(value)| Self(value)) })
    }
}
