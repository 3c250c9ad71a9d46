//! Calls between processes over real sockets: peers that are down, slow, restarting, of another version, or not ours at
//! all, and callers who may not come in.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod admission;
mod bounds;
mod failures;
mod scripted;
mod support;
mod versions;
