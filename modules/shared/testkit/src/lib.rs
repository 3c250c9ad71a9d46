//! What tests stand on: a database per test on every database system, one module behind a real HTTP server, fakes of
//! the other modules' ports, signed tokens, and a clock that can be turned.

mod app;
mod clock;
mod database;
pub mod fakes;
mod rabbit;
mod redis;
mod server;
mod tokens;

pub use app::{Response, Sent, TestApp};
pub use clock::TestClock;
pub use database::{Bench, Engine, TestDatabase, with_database};
pub use rabbit::TestRabbit;
pub use redis::{PATIENCE, Proxy, TestRedis, until};
pub use server::{postgres_url, rabbitmq_url, redis_url};
pub use tokens::{TestUser, Tokens};

/// Declares tests that run on SQLite and on PostgreSQL: each becomes `name::sqlite` and `name::postgres`.
///
/// The PostgreSQL half runs when `TEST_DATABASE_URL` is set. Without it the test says so and passes, except in CI
/// (`CI` is set), where it fails.
///
/// ```text
/// testkit::on_every_database! {
///     async fn stock_is_never_oversold(engine: testkit::Engine) { ... }
/// }
/// ```
#[macro_export]
macro_rules! on_every_database {
    ($($(#[$meta:meta])* async fn $name:ident($engine:ident: $kind:ty) $body:block)+) => {$(
        mod $name {
            #[expect(unused_imports, reason = "small tests may need nothing from outside")]
            use super::*;

            async fn story($engine: $kind) $body

            $(#[$meta])*
            #[test]
            fn sqlite() {
                $crate::run(story($crate::Engine::Sqlite));
            }

            $(#[$meta])*
            #[test]
            fn postgres() {
                if let Some(url) = $crate::postgres_url() {
                    $crate::run(story($crate::Engine::Postgres(url)));
                }
            }
        }
    )+};
}

/// Declares tests that also need a Redis server, with room on it: like [`on_every_database`], and only with
/// `TEST_REDIS_URL`.
#[macro_export]
macro_rules! on_every_database_with_redis {
    ($(async fn $name:ident($engine:ident: $kind:ty, $redis:ident: $room:ty) $body:block)+) => {
        $crate::on_every_database! {$(
            async fn $name($engine: $kind) {
                async fn story($engine: $kind, $redis: $room) $body
                if let Some(url) = $crate::redis_url() {
                    let room = $crate::TestRedis::create(url);
                    story($engine, &room).await;
                }
            }
        )+}
    };
}

/// An id that nothing else has.
pub fn fresh_id() -> uuid::Uuid {
    uuid::Uuid::now_v7()
}

/// Runs a test on a runtime of its own, with actix's local tasks.
pub fn run(story: impl Future<Output = ()>) {
    actix_web::rt::System::new().block_on(story);
}
