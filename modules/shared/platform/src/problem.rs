//! Errors on the wire: RFC 9457 `application/problem+json`, with a stable code from one table a module.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use sea_orm::sqlx::sqlite::SqliteError;
use sea_orm::{DbErr, RuntimeErr};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::trace;

/// One row of an error table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode {
    /// Stable, `snake_case`; clients branch on it.
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The same sentence every time; the detail says what happened this time.
    pub title: &'static str,
}

impl ErrorCode {
    /// One row.
    pub const fn new(code: &'static str, status: u16, title: &'static str) -> Self {
        Self { code, status, title }
    }
}

/// The codes that any route may answer with.
pub mod codes {
    use super::ErrorCode;

    pub const MALFORMED_REQUEST: ErrorCode =
        ErrorCode::new("malformed_request", 400, "The request is not valid HTTP");
    pub const MALFORMED_JSON: ErrorCode = ErrorCode::new("malformed_json", 400, "The body is not valid JSON");
    pub const INVALID_BODY: ErrorCode =
        ErrorCode::new("invalid_body", 400, "The body does not fit this operation");
    pub const INVALID_QUERY: ErrorCode =
        ErrorCode::new("invalid_query", 400, "A query parameter is wrong or unknown");
    pub const INVALID_HEADER: ErrorCode = ErrorCode::new("invalid_header", 400, "A header is wrong");
    pub const IDEMPOTENCY_KEY_REQUIRED: ErrorCode =
        ErrorCode::new("idempotency_key_required", 400, "This operation needs an Idempotency-Key header");
    pub const UNAUTHENTICATED: ErrorCode =
        ErrorCode::new("unauthenticated", 401, "A valid access token is needed");
    pub const FORBIDDEN: ErrorCode = ErrorCode::new("forbidden", 403, "This is for another role");
    pub const NOT_FOUND: ErrorCode = ErrorCode::new("not_found", 404, "There is no such thing here");
    pub const METHOD_NOT_ALLOWED: ErrorCode =
        ErrorCode::new("method_not_allowed", 405, "The path exists, but not with this method");
    pub const REQUEST_TIMEOUT: ErrorCode =
        ErrorCode::new("request_timeout", 408, "The request took too long to arrive");
    pub const IDEMPOTENCY_KEY_IN_PROGRESS: ErrorCode = ErrorCode::new(
        "idempotency_key_in_progress",
        409,
        "A request with this Idempotency-Key is still running",
    );
    pub const PRECONDITION_FAILED: ErrorCode =
        ErrorCode::new("precondition_failed", 412, "It has changed since you read it");
    pub const PAYLOAD_TOO_LARGE: ErrorCode =
        ErrorCode::new("payload_too_large", 413, "The body is too large");
    pub const UNSUPPORTED_MEDIA_TYPE: ErrorCode = ErrorCode::new(
        "unsupported_media_type",
        415,
        "The body is of a type that this operation does not read",
    );
    pub const IDEMPOTENCY_KEY_REUSED: ErrorCode =
        ErrorCode::new("idempotency_key_reused", 422, "This Idempotency-Key was used for another request");
    pub const TOO_MANY_REQUESTS: ErrorCode =
        ErrorCode::new("too_many_requests", 429, "Too many requests; slow down");
    pub const INTERNAL: ErrorCode = ErrorCode::new("internal", 500, "Something went wrong on our side");
    pub const UNAVAILABLE: ErrorCode =
        ErrorCode::new("unavailable", 503, "A part of the shop does not answer now");
    pub const STORAGE_UNAVAILABLE: ErrorCode =
        ErrorCode::new("storage_unavailable", 503, "The shop can be read, but it can store nothing now");

    /// All of the above.
    pub const ALL: &[ErrorCode] = &[
        MALFORMED_REQUEST,
        MALFORMED_JSON,
        INVALID_BODY,
        INVALID_QUERY,
        INVALID_HEADER,
        IDEMPOTENCY_KEY_REQUIRED,
        UNAUTHENTICATED,
        FORBIDDEN,
        NOT_FOUND,
        METHOD_NOT_ALLOWED,
        REQUEST_TIMEOUT,
        IDEMPOTENCY_KEY_IN_PROGRESS,
        PRECONDITION_FAILED,
        PAYLOAD_TOO_LARGE,
        UNSUPPORTED_MEDIA_TYPE,
        IDEMPOTENCY_KEY_REUSED,
        TOO_MANY_REQUESTS,
        INTERNAL,
        UNAVAILABLE,
        STORAGE_UNAVAILABLE,
    ];
}

/// `Retry-After` in seconds where waiting is all that it takes: an outage, or work that is about to end.
pub const RETRY_SOON_S: u64 = 1;

/// Where in a body something is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the body.
    #[schema(example = "/items/0/quantity")]
    pub pointer: String,
    /// What is wrong there.
    #[schema(example = "a quantity is a whole number from 1 to 10000, not 0")]
    pub detail: String,
}

/// The body of every error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Where the code is explained; relative to the shop's address.
    #[serde(rename = "type")]
    #[schema(example = "/docs/errors#insufficient_stock")]
    pub kind: String,
    /// What this code always means.
    pub title: String,
    /// The HTTP status again.
    #[schema(example = 409)]
    pub status: u16,
    /// What happened this time, and what to do.
    pub detail: String,
    /// Stable; branch on it.
    #[schema(example = "insufficient_stock")]
    pub code: String,
    /// For a bad body: each place at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Quote it when you report a problem.
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    pub trace_id: Option<String>,
    /// More fields of this code, such as `shortages`.
    #[serde(flatten)]
    #[schema(ignore)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// An error on its way to the client. One pointer wide, as it stands in the `Err` of every handler.
#[derive(Debug)]
pub struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    code: ErrorCode,
    detail: String,
    errors: Vec<FieldError>,
    headers: Vec<(HeaderName, String)>,
    extra: serde_json::Map<String, serde_json::Value>,
}

impl Problem {
    /// A problem of a code; the detail says what happened this time, in words for the client.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            headers: Vec::new(),
            extra: serde_json::Map::new(),
        }))
    }

    /// Names a place in the body.
    pub fn at(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.0.errors.push(FieldError { pointer: pointer.into(), detail: detail.into() });
        self
    }

    /// Adds a header to the answer.
    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.0.headers.push((name, value.into()));
        self
    }

    /// Says when to come back.
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, seconds.to_string())
    }

    /// Says to come back in a moment: waiting is all that it takes.
    pub fn retry_soon(self) -> Self {
        self.retry_after(RETRY_SOON_S)
    }

    /// Adds a field to the body, such as the list of shortages.
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.0.extra.insert(name.to_owned(), value);
        }
        self
    }

    /// A value in the body that is well-formed but not allowed: 400 `invalid_body` with its pointer.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self::new(codes::INVALID_BODY, detail.clone()).at(pointer, detail)
    }

    /// There is none, or it belongs to someone else; both look the same.
    pub fn not_found(what: &str) -> Self {
        Self::new(codes::NOT_FOUND, format!("There is no such {what}."))
    }

    /// Logs the cause here, once, and tells the client nothing of it.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(cause = %chain(cause), "internal error");
        Self::new(
            codes::INTERNAL,
            "The request was not completed. It is safe to try again with the same Idempotency-Key.",
        )
    }

    /// Logs the cause, and asks the client to come back. If it is, at the bottom of it, that a database can store nothing, that is
    /// said.
    pub fn unavailable(cause: &(dyn std::error::Error + 'static)) -> Self {
        let causes = std::iter::successors(Some(cause), |error| error.source());
        match causes.filter_map(|error| error.downcast_ref()).find_map(Outage::of) {
            Some(outage @ (Outage::Full | Outage::NotWritable)) => Self::storage_unavailable(outage, cause),
            Some(Outage::OutOfReach) | None => {
                tracing::warn!(cause = %chain(cause), "a dependency did not answer");
                Self::new(
                    codes::UNAVAILABLE,
                    "A part of the shop does not answer now. Try again in a moment.",
                )
                .retry_soon()
            }
        }
    }

    fn storage_unavailable(outage: Outage, cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(cause = %chain(cause), "the storage takes no changes: {outage}");
        Self::new(
            codes::STORAGE_UNAVAILABLE,
            format!(
                "The shop takes no changes now: {outage}. What was stored before can be read. Try again later with \
                 the same Idempotency-Key."
            ),
        )
        .retry_after(5)
    }

    /// The code that the client will see.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The sentence that the client will see.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    fn body(&self) -> ProblemBody {
        let Parts { code, detail, errors, headers: _, extra } = self.0.as_ref();
        ProblemBody {
            kind: format!("/docs/errors#{}", code.code),
            title: code.title.to_owned(),
            status: code.status,
            detail: detail.clone(),
            code: code.code.to_owned(),
            errors: errors.clone(),
            trace_id: trace::current(),
            extra: extra.clone(),
        }
    }
}

/// An error with its sources in one line, each said once.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.code.code, self.0.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.code.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        for (name, value) in &self.0.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.insert_header((name.clone(), value));
            }
        }
        response.content_type("application/problem+json");
        match serde_json::to_string(&self.body()) {
            Ok(body) => response.body(body),
            Err(_) => response.finish(),
        }
    }
}

/// A database error is ours, not the client's: 503 if another try may pass, because the database is out of reach or out of
/// connections or takes no changes now, 500 otherwise.
impl From<DbErr> for Problem {
    fn from(error: DbErr) -> Self {
        match Outage::of(&error) {
            None => Self::internal(&error),
            Some(_) => Self::unavailable(&error),
        }
    }
}

/// Why a database did not do what it was asked to, where that is no fault of the question and passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// It could not be asked, or was too busy.
    OutOfReach,
    /// There is no room left on its disk.
    Full,
    /// Its disk cannot be written to, or the server is one that only reads.
    NotWritable,
}

impl std::fmt::Display for Outage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OutOfReach => "the database does not answer",
            Self::Full => "its storage is full",
            Self::NotWritable => "its storage is read-only or fails",
        })
    }
}

impl Outage {
    /// The SQLSTATEs of a wait for a row that came to nothing: it took too long, or both would have waited for each other.
    pub(crate) const WAITED_FOR_A_ROW: [&str; 2] = ["55P03", "40P01"];

    /// What an error says of the database; `None` if it refused for another reason, such as a broken rule.
    pub fn of(error: &DbErr) -> Option<Self> {
        let (cause, is_connecting) = match error {
            DbErr::ConnectionAcquire(_) => return Some(Self::OutOfReach),
            DbErr::Conn(RuntimeErr::SqlxError(cause)) => (cause.as_ref(), true),
            DbErr::Conn(RuntimeErr::Internal(_)) => return Some(Self::OutOfReach),
            DbErr::Query(RuntimeErr::SqlxError(cause)) | DbErr::Exec(RuntimeErr::SqlxError(cause)) => {
                (cause.as_ref(), false)
            }
            _ => return None,
        };
        use sea_orm::sqlx::Error;
        let outage = match cause {
            Error::Io(_) | Error::Tls(_) | Error::PoolTimedOut | Error::PoolClosed | Error::WorkerCrashed => {
                Some(Self::OutOfReach)
            }
            Error::Database(cause) => {
                let code = cause.code().unwrap_or_default();
                match cause.try_downcast_ref::<SqliteError>() {
                    Some(_) => Self::of_sqlite(&code),
                    None => Self::of_postgres(&code),
                }
            }
            _ => None,
        };
        outage.or(is_connecting.then_some(Self::OutOfReach))
    }

    /// By <https://www.sqlite.org/rescode.html>; the lowest eight bits are the kind, the others the particular.
    fn of_sqlite(code: &str) -> Option<Self> {
        match code.parse::<u32>().ok()? & 0xff {
            // BUSY, LOCKED.
            5 | 6 => Some(Self::OutOfReach),
            13 => Some(Self::Full),
            // READONLY, IOERR, CANTOPEN: a file system that fails is made read-only under the open files.
            8 | 10 | 14 => Some(Self::NotWritable),
            _ => None,
        }
    }

    /// By appendix A of PostgreSQL's manual.
    fn of_postgres(code: &str) -> Option<Self> {
        match code {
            // The server is shutting down or starting; it has too many connections; it has ended a transaction that nobody went on with.
            "57P01" | "57P02" | "57P03" | "53300" | "25P03" => Some(Self::OutOfReach),
            code if Self::WAITED_FOR_A_ROW.contains(&code) => Some(Self::OutOfReach),
            "53100" => Some(Self::Full),
            // A transaction that may only read, such as every one of a standby; an error of the disk.
            "25006" | "58030" => Some(Self::NotWritable),
            _ => None,
        }
    }
}

/// Whether the database could not do what it was asked to, as opposed to having refused.
pub fn is_out_of_reach(error: &DbErr) -> bool {
    Outage::of(error).is_some()
}

/// Turns a port failure into a problem: the refusal by the caller's own table, silence into 503.
pub fn from_port<R: std::fmt::Display + std::fmt::Debug + 'static>(
    error: contracts::port::PortError<R>,
    refused: impl FnOnce(R) -> Problem,
) -> Problem {
    match error {
        contracts::port::PortError::Refused(refusal) => refused(refusal),
        unavailable => Problem::unavailable(&unavailable),
    }
}
