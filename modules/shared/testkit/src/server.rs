//! Servers that tests need and a machine may lack.

/// The address of a server from the environment. `None` if it is not given, which is said aloud; in CI that is a failure.
fn address_of(server: &str, variable: &str) -> Option<String> {
    match std::env::var(variable) {
        Ok(url) if !url.is_empty() => Some(url),
        _ => {
            assert!(std::env::var_os("CI").is_none(), "CI must test with {server}: set {variable}");
            println!("not run with {server}: {variable} is not set");
            None
        }
    }
}

/// `TEST_DATABASE_URL`: a PostgreSQL server on which tests may create databases.
pub fn postgres_url() -> Option<String> {
    address_of("PostgreSQL", "TEST_DATABASE_URL")
}

/// `TEST_RABBITMQ_URL`.
pub fn rabbitmq_url() -> Option<String> {
    address_of("RabbitMQ", "TEST_RABBITMQ_URL")
}

/// `TEST_REDIS_URL`.
pub fn redis_url() -> Option<String> {
    address_of("Redis", "TEST_REDIS_URL")
}
