//! Tables and their named queries. Queries run on the connection they are given and never commit.

pub(crate) mod attempts;
pub(crate) mod intents;
pub(crate) mod keys;
pub(crate) mod ledger;
pub(crate) mod payments;
pub(crate) mod webhooks;
