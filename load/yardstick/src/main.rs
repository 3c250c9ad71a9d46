//! What the shop is measured against, and what drives it where `wrk` cannot.
//!
//! Nothing here is part of the product and nothing of the product is in here. `load/run.sh` starts it; load/README.md says what
//! each figure means. Every command prints one line of JSON: counts, and times in whole microseconds; dividing is left to whoever
//! reads them.

mod client;
mod customers;
mod drive;
mod figures;
mod hash;
mod problem;
mod reads;
mod sqlite;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::problem::Problem;

#[derive(Debug, Parser)]
#[command(name = "souk-yardstick", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The least HTTP handlers that answer the reads of the shop from its own tables.
    Reads(reads::Reads),
    /// The rate at which this machine compares bcrypt hashes, and nothing else.
    Hash(hash::Hash),
    /// The rate at which the bare driver commits orders to SQLite files with the shop's tables and pragmas.
    Sqlite(sqlite::Sqlite),
    /// Registers customers, or logs them in, and writes down their tokens.
    Customers(customers::Customers),
    /// Places orders for all customers in turn and writes down which.
    Place(customers::Place),
    /// Drives a shop with a mix of requests: as fast as it answers, or at a fixed rate.
    Drive(drive::Drive),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Standard error is where whoever started this looks; if that is closed, nobody does.
            let _nobody_reads = writeln!(std::io::stderr(), "souk-yardstick: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Problem> {
    match command {
        Command::Reads(reads) => reads.run(),
        Command::Hash(hash) => print(&hash.run()?),
        Command::Sqlite(sqlite) => print(&runtime(1)?.block_on(sqlite.run())?),
        Command::Customers(customers) => print(&runtime(1)?.block_on(customers.run())?),
        Command::Place(place) => print(&runtime(1)?.block_on(place.run())?),
        Command::Drive(drive) => print(&runtime(drive.threads)?.block_on(drive.run())?),
    }
}

fn runtime(threads: usize) -> Result<tokio::runtime::Runtime, Problem> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(threads.max(1)).enable_all().build()?)
}

fn print(value: &serde_json::Value) -> Result<(), Problem> {
    writeln!(std::io::stdout(), "{value}")?;
    Ok(())
}
