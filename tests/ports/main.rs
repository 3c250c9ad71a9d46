//! Conformance of the ports: one list of checks a port, held against the real module in this process and against the
//! same module behind HTTP. A caller cannot tell the forms apart, error for error.
//!
//! A test is `port::check::form`, and where the database may make a difference `port::check::form::database`;
//! [`stage::Form`] says which forms there are.
#![cfg(all(
    feature = "auth",
    feature = "catalog",
    feature = "inventory",
    feature = "orders",
    feature = "users"
))]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a check that goes wrong stops where it does"
)]

/// Runs each check on a stage of its own, in every form.
macro_rules! conformance {
    ($stage:ident: $($check:ident),+ $(,)?) => {$(
        mod $check {
            use super::{$check as check, $stage as Stage};
            use crate::stage::Form;

            testkit::on_every_database! {
                async fn local(engine: testkit::Engine) {
                    check(Stage::open(engine, Form::Local).await).await;
                }

                async fn remote(engine: testkit::Engine) {
                    check(Stage::open(engine, Form::Remote).await).await;
                }
            }

            // What happens on the way is the same whatever database is at its end.
            #[test]
            fn newer() {
                testkit::run(async { check(Stage::open(testkit::Engine::Sqlite, Form::Newer).await).await });
            }

            #[test]
            fn lossy() {
                testkit::run(async { check(Stage::open(testkit::Engine::Sqlite, Form::Lossy).await).await });
            }
        }
    )+};
}

mod auth_port;
mod catalog_port;
mod inventory_port;
mod orders_port;
mod silence;
mod stage;
mod users_port;
