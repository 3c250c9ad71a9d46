//! Plumbing, once for all modules: databases and transactions, outbox and inbox, idempotency, problem+json, request
//! parsing, authentication of requests, CSV in and out, and the shape that every module has towards the process.
//!
//! Nothing here knows a module or a business rule.

pub mod access;
pub mod bus;
pub mod csv;
pub mod db;
pub mod doctor;
pub mod http;
pub mod idempotency;
pub mod inbox;
pub mod migration;
pub mod module;
pub mod outbox;
pub mod problem;
pub mod relay;
pub mod system;
pub mod trace;
