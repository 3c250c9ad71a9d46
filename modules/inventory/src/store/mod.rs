//! Tables and their named queries. Queries run on the connection they are given and never commit.

pub(crate) mod movements;
pub(crate) mod refused_movements;
pub(crate) mod reservation_lines;
pub(crate) mod reservations;
pub(crate) mod stock;
