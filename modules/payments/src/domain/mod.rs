//! Rules of paying; pure. What is public is what the model check (`tests/model`) walks.

pub mod balance;
pub mod driving;
pub mod entries;
pub mod intent;
pub mod movement;
pub mod moving;
pub mod paying;
pub(crate) mod signature;
pub mod status;
pub mod taking_back;
pub(crate) mod text;
