//! Tables and their named queries. Queries run on the connection they are given and never commit.

pub(crate) mod abandoned_reservations;
pub(crate) mod analytics;
pub(crate) mod ended_payments;
pub(crate) mod import_numbers;
pub(crate) mod lines;
pub(crate) mod orders;
pub(crate) mod timeline;

// How many rows one INSERT of an import writes. Together they stay under 16 KiB, one TLS record: sqlx 0.9 sends each
// record by itself and leaves Nagle's algorithm on, so that a longer message waits up to 40 ms for a delayed
// acknowledgement. A fixed size also means that the statement is prepared once and used again.
const ORDERS_OF_ONE_INSERT: usize = 40;
const LINES_OF_ONE_INSERT: usize = 80;
const ENTRIES_OF_ONE_INSERT: usize = 80;
