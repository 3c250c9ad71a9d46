//! Stories of orders, on every database.

mod analytics;
mod importing;
mod life;
mod payments;
mod placing;
mod reading;
mod recovery;
mod support;
