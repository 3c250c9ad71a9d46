//! The composition root of Souk: settings, wiring, the HTTP server and the command line. No business rules live here;
//! `modules/` has them.

mod body;
pub mod cli;
mod commands;
mod connections;
pub mod cors;
pub mod demo;
pub mod docs;
pub mod doctor;
mod guard;
pub mod headers;
mod health;
mod keys;
pub mod route_table;
pub mod server;
pub mod settings;
pub mod telemetry;
pub mod wiring;
mod workers;
