//! Why a measurement could not be made. Whoever reads it mends the set-up, so every cause keeps its own words.

use thiserror::Error;

#[derive(Debug, Error)]
pub(crate) enum Problem {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("PostgreSQL: {0}")]
    Postgres(#[from] tokio_postgres::Error),
    #[error("SQLite: {0}")]
    Sqlite(#[from] sqlx::Error),
    #[error("bcrypt: {0}")]
    Hash(#[from] bcrypt::BcryptError),
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("a task ended badly: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The shop said something that a benchmark must not measure.
    #[error("{method} {path} was answered by {status}: {body}")]
    Unexpected { method: &'static str, path: String, status: u16, body: String },
    #[error("{0}")]
    Other(String),
}

impl Problem {
    pub(crate) fn other(words: impl Into<String>) -> Self {
        Self::Other(words.into())
    }
}
