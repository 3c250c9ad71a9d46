//! Outcomes as answers: the same ones, first and replayed.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderName;
use platform::http::Answer;
use platform::problem::Problem;

use crate::app::outcome::Outcome;
use crate::error::{CARD_DECLINED, PAYMENT_GIVEN_UP, PROVIDER_REFUSED};

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// `status` if the money moved, else the problem that the outcome is.
pub(super) fn respond(answer: Answer<Outcome>, status: StatusCode) -> Result<HttpResponse, Problem> {
    let replayed = answer.replayed;
    let problem = match answer.value {
        Outcome::Done(payment) => return Ok(Answer { value: payment, replayed }.respond(status)),
        Outcome::Declined { payment_id, decline_code } => {
            Problem::new(CARD_DECLINED, "The card was declined; nothing was charged. Try another one with a new Idempotency-Key.")
                .with("decline_code", decline_code)
                .with("payment_id", payment_id)
        }
        Outcome::GivenUp { payment_id } => Problem::new(
            PAYMENT_GIVEN_UP,
            "This payment was interrupted before the provider saw it; nothing was charged. Pay again with a new \
             Idempotency-Key.",
        )
        .with("payment_id", payment_id),
        Outcome::Refused { payment_id, code } => {
            Problem::new(PROVIDER_REFUSED, "The provider refused it; no money moved.")
                .with("provider_code", code)
                .with("payment_id", payment_id)
        }
    };
    Err(if replayed { problem.header(REPLAYED, "true") } else { problem })
}
