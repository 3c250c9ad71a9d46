//! The trace id of a request: taken from `traceparent` (W3C Trace Context) or made here, put on every log line, and
//! repeated in every error body, so that a customer's complaint leads to the log.

use std::future::Future;
use std::sync::Arc;

use actix_web::http::header::HeaderMap;
use tracing::Instrument;
use uuid::Uuid;

tokio::task_local! {
    static TRACE_ID: Arc<str>;
}

/// The trace id of the work that is running, if it has one.
pub fn current() -> Option<String> {
    TRACE_ID.try_with(|id| id.to_string()).ok()
}

/// The 32 hexadecimal digits of a valid `traceparent` header, or those of the fresh id.
pub fn from_headers(headers: &HeaderMap, fresh: Uuid) -> String {
    let from_caller = headers.get("traceparent").and_then(|value| value.to_str().ok()).and_then(|text| {
        let mut parts = text.split('-');
        let (version, id) = (parts.next()?, parts.next()?);
        let valid = version.len() == 2
            && id.len() == 32
            && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            && id.bytes().any(|b| b != b'0');
        valid.then(|| id.to_owned())
    });
    from_caller.unwrap_or_else(|| fresh.simple().to_string())
}

/// Runs work under a trace id.
pub async fn scope<F: Future>(id: String, work: F) -> F::Output {
    TRACE_ID.scope(Arc::from(id), work).await
}

/// Carries the trace id and the log span of the caller into work that is about to be spawned.
pub fn inherit<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let id = TRACE_ID.try_with(Arc::clone).ok();
    let work = work.in_current_span();
    async move {
        match id {
            Some(id) => TRACE_ID.scope(id, work).await,
            None => work.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn trace_of(header: &'static str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("traceparent"), HeaderValue::from_static(header));
        from_headers(&headers, Uuid::from_u128(7))
    }

    #[test]
    fn only_a_well_formed_trace_is_taken_over() {
        let given = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(trace_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), given);
        let fresh = "00000000000000000000000000000007";
        for bad in
            ["", "00", "00-4BF92F3577B34DA6A3CE929D0E0E4736-x-01", "00-00000000000000000000000000000000-x-01"]
        {
            assert_eq!(trace_of(bad), fresh, "{bad}");
        }
    }
}
