//! Rules of paying; pure.

pub(crate) mod balance;
pub(crate) mod entries;
pub(crate) mod movement;
pub(crate) mod signature;
pub(crate) mod status;
pub(crate) mod text;
