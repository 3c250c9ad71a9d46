//! How every port fails.

use thiserror::Error;

/// The failure of a port call: a definite refusal, or no answer.
///
/// A refusal is the owner's final word and has no effect. After [`PortError::Unavailable`] the effect is unknown: only an idempotent
/// call may be tried again; each port says which of its calls are.
#[derive(Debug, Error)]
pub enum PortError<R: std::fmt::Display + std::fmt::Debug> {
    /// The owner said no.
    #[error("{0}")]
    Refused(R),
    /// The owner could not be asked, or its answer was lost.
    #[error("the {module} module did not answer")]
    Unavailable {
        /// Who did not answer.
        module: &'static str,
        /// What happened, for the log.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl<R: std::fmt::Display + std::fmt::Debug> PortError<R> {
    /// Wraps a failure below the port, such as a database error.
    pub fn unavailable(
        module: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { module, source: source.into() }
    }
}

/// The refusal of calls that refuse nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error, serde::Serialize, serde::Deserialize)]
pub enum NoRefusal {}
