//! Stories of orders, on every database.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a story that goes wrong stops where it does; an import says how long it took"
)]

mod analytics;
mod importing;
mod life;
mod payments;
mod placing;
mod reading;
mod recovery;
mod support;
