//! `souk`: a whole shop, or one service of it.

use std::process::ExitCode;

use clap::Parser;
use souk::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    Cli::parse().run().await
}
