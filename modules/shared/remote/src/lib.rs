//! Ports of modules that run in another process.
//!
//! A port is one file here: each of its operations is declared once, and both sides stand under the declarations, the
//! HTTP client that is the port for a caller far away, and the internal routes that ask the real port. Whoever calls
//! cannot tell which of the two it holds:
//!
//! | the port says | on the wire |
//! |---|---|
//! | `Ok(value)` | 200, the value as JSON |
//! | `Err(Refused(refusal))` | 409, the refusal as JSON |
//! | `Err(Unavailable)` | 503, a problem that says nothing of the cause, with `Retry-After` |
//!
//! Everything else that a call can meet (nobody listens, no time left, an answer that cannot be read, a token that is
//! not accepted) is `Unavailable` to the caller, with its cause for the log.
//!
//! Calls are `POST /internal/<module>/<operation>`. They carry a service token ([`Gate`]), the time that is left
//! (`souk-timeout-ms`) and the trace (`traceparent`).
//!
//! Fields are only ever added, so that two versions can speak with each other while a shop is being renewed: what one
//! side does not know it leaves out, on both sides.
//!
//! Rejected: gRPC. It would bring a second HTTP stack, a code generator and a second description of data which serde
//! already describes, for calls that are a few hundred bytes long.

pub mod auth;
mod breaker;
mod call;
mod caller;
pub mod catalog;
mod gate;
pub mod inventory;
mod operation;
pub mod orders;
mod peer;
mod routes;
pub mod users;

pub use caller::{Caller, CallerError, Options};
pub use gate::{Gate, MIN_SECRET};
pub use peer::{Peer, PeerError};

/// The most bytes of a request or an answer. The largest is an import's batch of a thousand SKUs, a tenth of this.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// How much time the caller has left, in milliseconds.
const TIMEOUT_HEADER: &str = "souk-timeout-ms";

/// Where all operations are served; for whoever decides what a server lets in. [`Gate`] decides the rest.
pub const ROUTES: &str = "/internal/{module}/{operation}";

/// Where an operation is served.
fn path_of(module: &str, operation: &str) -> String {
    format!("/internal/{module}/{operation}")
}
