//! The bare rate of bcrypt: what a login cannot be faster than on this machine.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use crate::figures::Times;
use crate::problem::Problem;

/// As long as what the shop hashes: 44 characters of base64.
const DIGEST: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";

#[derive(Debug, Args)]
pub(crate) struct Hash {
    /// As `auth.hashing_threads`; 0: one for every two cores, as there.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// As `auth.bcrypt_cost`.
    #[arg(long, default_value_t = 12)]
    cost: u32,
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

impl Hash {
    /// Compares, as a login does, on so many threads until the time is up. What is under way then is finished and counted.
    pub(crate) fn run(&self) -> Result<Value, Problem> {
        let stored = hash(self.cost)?;
        let began = Instant::now();
        let until = began + Duration::from_secs(self.seconds);
        let cores = std::thread::available_parallelism()?.get();
        let threads = if self.threads == 0 { (cores / 2).max(1) } else { self.threads };
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let stored = stored.clone();
                std::thread::spawn(move || compare_until(&stored, until))
            })
            .collect();
        let mut times = Times::default();
        for worker in workers {
            let done = worker.join().map_err(|_| Problem::other("a hashing thread panicked"))?;
            times.join(done?);
        }
        let mut told = times.told(began.elapsed());
        if let Some(told) = told.as_object_mut() {
            told.insert("threads".to_owned(), json!(threads));
            told.insert("cost".to_owned(), json!(self.cost));
        }
        Ok(told)
    }
}

fn compare_until(stored: &str, until: Instant) -> Result<Times, Problem> {
    let mut times = Times::default();
    while Instant::now() < until {
        let began = Instant::now();
        if !verify(stored)? {
            return Err(Problem::other("bcrypt does not know its own hash"));
        }
        times.add(began.elapsed());
    }
    Ok(times)
}

#[expect(
    clippy::disallowed_methods,
    reason = "no shop is served from here; hashing is all that this process does"
)]
fn hash(cost: u32) -> Result<String, Problem> {
    Ok(bcrypt::hash(DIGEST, cost)?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "no shop is served from here; hashing is all that this process does"
)]
fn verify(stored: &str) -> Result<bool, Problem> {
    Ok(bcrypt::verify(DIGEST, stored)?)
}
