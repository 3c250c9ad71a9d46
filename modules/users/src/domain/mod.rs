//! Rules of profiles; pure.

pub(crate) mod names;
pub(crate) mod preferences;
