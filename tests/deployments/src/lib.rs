//! What tests of the whole shop stand on: real processes of the binary in every topology, started, killed, stopped in
//! their tracks and asked for their health, and the shop as its clients see it, which is an address.
//!
//! A test target says first which binary it tests ([`use_binary`], [`use_only`]). What a run leaves behind, such as processes, queues
//! and databases, is cleaned up however the run ends (`guard`).

mod guard;
mod process;
mod running;
mod servers;
mod shop;
mod story;
mod topology;
mod transcript;

pub use process::{await_that, block_on, kept, report, say, text, use_binary, use_only, variable};
pub use running::{Doctor, Running};
pub use servers::{PrivatePostgres, PrivateRabbitmq, PrivateRedis, Stop};
pub use shop::{Call, PASSWORD, Person, Shop, client, path_of, pence, person, tally};
pub use story::{caught, keep_panics, trial};
pub use topology::{Options, Servers, TOPOLOGIES, Topology};
