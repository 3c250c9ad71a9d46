//! Times of many requests, and what is said of them.

use std::time::Duration;

use serde_json::{Value, json};

/// Every time is kept: a minute of ten thousand requests a second is a few megabytes, and no bucket has to be chosen.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<u32>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Count, percentiles and extremes, in microseconds.
    pub(crate) fn told(mut self, elapsed: Duration) -> Value {
        self.0.sort_unstable();
        let sum: u64 = self.0.iter().copied().map(u64::from).sum();
        let count = u64::try_from(self.0.len()).unwrap_or(u64::MAX);
        json!({
            "requests": count,
            "elapsed_us": u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            "mean_us": sum.checked_div(count),
            "p50_us": self.at(500),
            "p90_us": self.at(900),
            "p99_us": self.at(990),
            "p999_us": self.at(999),
            "max_us": self.0.last(),
        })
    }

    /// The time that so many thousandths of the requests did not exceed. The times are sorted.
    fn at(&self, thousandths: usize) -> Option<u32> {
        let rank = self.0.len().saturating_mul(thousandths).div_ceil(1_000);
        self.0.get(rank.saturating_sub(1)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let mut times = Times::default();
        for us in (1..=1_000).rev() {
            times.add(Duration::from_micros(us));
        }
        let told = times.told(Duration::from_secs(2));
        assert_eq!(
            (&told["p50_us"], &told["p99_us"], &told["max_us"]),
            (&json!(500), &json!(990), &json!(1_000))
        );
        assert_eq!((&told["requests"], &told["mean_us"]), (&json!(1_000), &json!(500)));
    }

    #[test]
    fn of_nothing_nothing_is_said() {
        let told = Times::default().told(Duration::ZERO);
        assert_eq!((&told["p99_us"], &told["mean_us"]), (&Value::Null, &Value::Null));
    }
}
