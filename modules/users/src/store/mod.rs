//! Tables and their named queries. Queries run on the connection they are given and never commit.

pub(crate) mod addresses;
pub(crate) mod users;
