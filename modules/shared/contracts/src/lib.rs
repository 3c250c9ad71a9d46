//! What modules may know of one another, and nothing else: one file per owning module with its port (a trait), the
//! data and refusals of that port, and the events the module publishes. [`books`] is for the doctor alone.
//!
//! No actix and no sea-orm here: a port reads the same whether its module runs in this process or in another.

pub mod audit;
pub mod auth;
pub mod books;
pub mod catalog;
pub mod event;
pub mod inventory;
pub mod modules;
pub mod orders;
pub mod payments;
pub mod port;
pub mod scopes;
pub mod subscriptions;
pub mod users;
