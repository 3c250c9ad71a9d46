//! Path parameters.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// The parameters of a path. One that cannot be read (not a UUID, say) names nothing that exists: 404.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Path<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if request.match_info().iter().any(|(_, value)| value.contains("%00") || value.contains('\0')) {
            return ready(Err(Problem::not_found("resource")));
        }
        let read = actix_web::web::Path::<T>::from_request(request, payload).into_inner();
        ready(read.map(|path| Self(path.into_inner())).map_err(|_| Problem::not_found("resource")))
    }
}
