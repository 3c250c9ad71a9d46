//! What customers saw, fault by fault, as a table.

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use deployments::Topology;

use crate::load::Ledger;

static ROWS: Mutex<Vec<[String; 7]>> = Mutex::new(Vec::new());

const HEADS: [&str; 7] =
    ["fault", "topology", "requests", "orders", "not at once", "slowest", "well again after"];

/// Writes a row: what was asked, what did not succeed at once, and how long the shop took to be well again.
pub fn note(fault: &str, topology: Topology, ledger: &Ledger, well_again: &str) {
    add(row(fault, topology, ledger, well_again));
}

/// Such a row.
pub fn row(fault: &str, topology: Topology, ledger: &Ledger, well_again: &str) -> [String; 7] {
    [
        fault.to_owned(),
        topology.name().to_owned(),
        ledger.exchanges.len().to_string(),
        ledger.orders.len().to_string(),
        ledger.tally(),
        seconds(ledger.slowest()),
        well_again.to_owned(),
    ]
}

/// Writes a row as it is.
pub fn add(row: [String; 7]) {
    ROWS.lock().unwrap_or_else(PoisonError::into_inner).push(row);
}

/// Seconds with one digit.
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// All rows.
pub fn table() -> String {
    let mut rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    rows.sort();
    rows.insert(0, HEADS.map(str::to_owned));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    let mut table = String::from("\nwhat customers saw while others failed\n");
    for row in &rows {
        for (cell, width) in row.iter().zip(&widths) {
            // A string takes everything.
            let _written = write!(table, "{cell:width$}  ");
        }
        table.truncate(table.trim_end().len());
        table.push('\n');
    }
    table
}
