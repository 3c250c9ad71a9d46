//! The whole shop, through its front doors: HTTP and the command line.
//!
//! Every story of behaviour runs on SQLite and on PostgreSQL (see `testkit::on_every_database`).
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a story that goes wrong stops where it does"
)]

mod claims;
mod command_line;
mod contract;
mod doctor;
mod events;
mod hardening;
mod migrations;
mod openapi;
mod real_data;
mod secrets;
mod support;
