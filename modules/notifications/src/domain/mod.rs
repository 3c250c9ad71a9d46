//! What is written to whom; pure.

pub(crate) mod endpoint;
pub(crate) mod letter;
pub(crate) mod mail;
