//! Whether whoever was let in may still be, once the body of the request has come.
//!
//! A request is looked at when its head has come. Its body may take as long as the client likes, an import hours, and the session may end
//! meanwhile: so it is looked at again with each part of the body and at its end.

use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::{HttpMessage, web};
use bytes::Bytes;
use futures_util::Stream;

use crate::access::{Identity, Principal, Refusal, TokenVerifier};
use crate::problem::Problem;

/// Has the body of an admitted request watched. Without a body, or of somebody unknown, there is nothing to watch.
pub fn watch_body(request: &mut ServiceRequest) {
    let identity = request.extensions().get::<Identity>().cloned();
    let Some(Identity(Ok(Some(principal)))) = identity else { return };
    let Some(verifier) = request.app_data::<web::Data<TokenVerifier>>().cloned() else { return };
    let body = request.take_payload();
    request.set_payload(match body {
        Payload::None => Payload::None,
        body => Payload::Stream { payload: Box::pin(Watched { body, verifier, principal }) },
    });
}

struct Watched {
    body: Payload,
    verifier: web::Data<TokenVerifier>,
    principal: Principal,
}

impl Stream for Watched {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.body).poll_next(context);
        match polled {
            Poll::Ready(Some(Ok(_)) | None) if self.verifier.has_ended(&self.principal) => {
                Poll::Ready(Some(Err(PayloadError::Io(ended()))))
            }
            polled => polled,
        }
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::PermissionDenied, "the session ended while the body came")
}

/// What a body that cannot be read says, if it is that its sender is not let in any more.
pub(crate) fn refusal_in(error: &Error) -> Option<Problem> {
    (error.kind() == ErrorKind::PermissionDenied).then(|| Refusal::Invalid.into())
}

/// The error of a body as one of reading, with its kind.
pub(crate) fn as_io(error: PayloadError) -> Error {
    match error {
        PayloadError::Io(error) => error,
        other => Error::other(other.to_string()),
    }
}
