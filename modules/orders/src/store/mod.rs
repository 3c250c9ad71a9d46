//! Tables and their named queries. Queries run on the connection they are given and never commit.

pub(crate) mod abandoned_reservations;
pub(crate) mod analytics;
pub(crate) mod import_numbers;
pub(crate) mod lines;
pub(crate) mod orders;
pub(crate) mod timeline;
