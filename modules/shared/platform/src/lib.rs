//! Plumbing, once for all modules: databases and transactions, outbox and inbox, idempotency, problem+json, request
//! parsing, authentication of requests, CSV in and out, and the shape that every module has towards the process.
//!
//! Nothing here knows a module or a business rule.

pub mod access;
pub mod batch;
pub mod bus;
pub mod cells;
pub mod client_address;
pub mod connection;
pub mod csv;
pub mod db;
pub mod deadline;
pub mod doctor;
pub mod failpoint;
pub mod gather;
pub mod group_commit;
pub mod http;
pub mod idempotency;
pub mod inbox;
pub mod key_list;
pub mod lease;
pub mod migration;
pub mod module;
pub mod outbox;
mod postgres;
mod postgres_pool;
pub mod problem;
pub mod rabbit;
pub mod rate_limit;
pub mod relay;
pub mod routes;
pub mod runtime;
pub mod shared_cache;
pub mod shared_store;
pub mod system;
pub mod trace;
pub mod word;
