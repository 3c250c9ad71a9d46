//! Two requests that want opposite things, started at the same moment or nearly so.

use std::cell::Cell;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join;
use futures_util::stream::iter;

/// Most starts are this close to the moment at which either side may win.
const CLOSE_MS: f64 = 4.0;
/// Every eighth is anywhere in here, for the ends that are far from it.
const WIDE_MS: f64 = 40.0;
/// How much the moment moves towards the side that lost; more and more while it loses again and again.
const STEP_MS: f64 = 0.4;
const FASTER: f64 = 1.25;
const LEAP_MS: f64 = 12.0;
/// It stays within this.
const BOUND_MS: f64 = 400.0;

/// Which of two came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    Left,
    Right,
}

/// When each side of a duel starts: seeded, and drawn towards the moment at which either may win on this machine.
#[derive(Debug)]
pub struct Starts {
    seed: u64,
    /// By how much the right side must start later for even chances, in milliseconds.
    even_ms: Cell<f64>,
    /// Who came first last, and the step that was made for it.
    last: Cell<(First, f64)>,
}

impl Starts {
    pub fn seeded(seed: u64) -> Self {
        Self { seed, even_ms: Cell::new(0.0), last: Cell::new((First::Left, STEP_MS)) }
    }

    /// By how much the right side starts later than the left in this run; negative if it starts earlier.
    pub fn lead_ms(&self, run: usize) -> f64 {
        let random = draw(self.seed, run);
        // The upper 53 bits are a number from 0 to 1, the lowest three choose the width.
        let unit = (random >> 11) as f64 / (1_u64 << 53) as f64;
        let width = if random & 7 == 0 { WIDE_MS } else { CLOSE_MS };
        self.even_ms.get() + (2.0 * unit - 1.0) * width
    }

    /// The side that came first starts a little later from now on.
    pub fn learn(&self, first: First) {
        let step = match self.last.get() {
            (last, step) if last == first => (step * FASTER).min(LEAP_MS),
            _ => STEP_MS,
        };
        self.last.set((first, step));
        let towards = if first == First::Left { -step } else { step };
        self.even_ms.set((self.even_ms.get() + towards).clamp(-BOUND_MS, BOUND_MS));
    }

    /// Sends both sides off and waits for both.
    pub async fn duel<L, R>(
        &self,
        run: usize,
        left: impl Future<Output = L>,
        right: impl Future<Output = R>,
    ) -> (L, R) {
        let lead = self.lead_ms(run);
        join(after(-lead, left), after(lead, right)).await
    }
}

/// Something that starts so many milliseconds from now; at once if that is in the past.
pub async fn after<T>(ms: f64, what: impl Future<Output = T>) -> T {
    if ms > 0.0 {
        tokio::time::sleep(Duration::from_secs_f64(ms / 1_000.0)).await;
    }
    what.await
}

/// Runs something so many times, some of them at once; the results come in the order of their ends.
pub async fn repeat<T>(times: usize, at_once: usize, run: impl AsyncFn(usize) -> T) -> Vec<T> {
    iter(0..times).map(|n| run(n)).buffer_unordered(at_once).collect().await
}

/// A random number that depends on nothing but these two (SplitMix64).
pub fn draw(seed: u64, run: usize) -> u64 {
    let mut state = seed.wrapping_add((run as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
