//! Parsing requests and shaping answers, the same way in every module.

mod conditional;
mod json;
mod keys;
mod list;
mod objects;
mod path;
mod query;
mod respond;

pub use conditional::{Conditional, ETag};
pub use json::{Json, MAX_DEPTH, MAX_JSON_BYTES};
pub use keys::{IdempotencyKey, RequiredIdempotencyKey};
pub use list::page_of;
pub use path::Path;
pub use query::Query;
pub use respond::{Answer, created, no_content, ok};
