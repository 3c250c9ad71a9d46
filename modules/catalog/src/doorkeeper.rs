//! Who has been here lately: what keeps those who come only once out of a cache.
//!
//! In a large shop most products are asked for once in the time that an answer is good for. To remember such a one, and to throw something else out
//! for it, costs as much as reading it. A table of the latest that hashed to each place says who comes again (the doorkeeper of
//! Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", 2017). It forgets whoever shares a place, and now and then takes one for
//! another; both only cost a read, or a place in the cache.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};

/// So many places for each entry of the cache: those who are asked for often do not push each other out before the cache does.
const PLACES_AN_ENTRY: u64 = 2;
/// 4 MiB of places.
const MOST_PLACES: u64 = 1 << 20;

pub(crate) struct Doorkeeper {
    hasher: RandomState,
    latest: Vec<AtomicU32>,
}

impl Doorkeeper {
    pub(crate) fn new(entries: u64) -> Self {
        let places = entries.saturating_mul(PLACES_AN_ENTRY).clamp(1, MOST_PLACES);
        Self { hasher: RandomState::new(), latest: (0..places).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Whether it was here before, as far as is known; it has been from now on.
    pub(crate) fn knows(&self, key: &impl Hash) -> bool {
        let hash = self.hasher.hash_one(key);
        let [a, b, c, d, place @ ..] = hash.to_le_bytes();
        let mark = u32::from_le_bytes([a, b, c, d]).max(1);
        let place = usize::try_from(u32::from_le_bytes(place)).unwrap_or_default() % self.latest.len();
        self.latest.get(place).is_some_and(|latest| latest.swap(mark, Ordering::Relaxed) == mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_again_is_known_and_a_crowd_is_not() {
        let doorkeeper = Doorkeeper::new(1_000);
        assert!(!doorkeeper.knows(&"mug"));
        assert!(doorkeeper.knows(&"mug"));
        assert!(doorkeeper.knows(&"mug"), "it stays known");
        // Each of a hundred thousand comes twice, and all the others between its times.
        let known = (0..2).flat_map(|_| 0..100_000).filter(|n| doorkeeper.knows(n)).count();
        assert!(known < 100, "{known} of a crowd are known");
        // Those who fit are.
        for n in 0..500 {
            doorkeeper.knows(&("few", n));
        }
        let known = (0..500).filter(|n| doorkeeper.knows(&("few", *n))).count();
        assert!(known > 300, "{known} of a few are known");
    }

    #[test]
    fn one_place_is_enough_to_work() {
        let doorkeeper = Doorkeeper::new(0);
        assert!(!doorkeeper.knows(&1));
        assert!(doorkeeper.knows(&1));
        assert!(!doorkeeper.knows(&2));
        assert!(!doorkeeper.knows(&1));
    }
}
