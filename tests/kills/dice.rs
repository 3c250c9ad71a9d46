//! Chance that a seed repeats.

/// Numbers that follow from a seed alone (SplitMix64), so that no library's next version changes what a seed means.
#[derive(Debug, Clone)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// The dice of one thing that happens, such as the third errand of the second customer: whatever else happens
    /// in the run does not change how they fall.
    pub fn of(seed: u64, what: &[u64]) -> Self {
        let mut dice = Self { state: seed };
        for part in what {
            dice.state = dice.next() ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        dice
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below the bound, which is at least 1. The bounds here are tiny, so that the bias of the remainder is, too.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True in so many of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these; there is at least one.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let at = self.below(u64::try_from(choices.len()).unwrap_or(1));
        &choices[usize::try_from(at).unwrap_or_default()]
    }
}
