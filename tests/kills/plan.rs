//! What a customer means to do, from the seed alone.

use crate::dice::Dice;

/// Goods: the name, the price in pence, and how many pieces there are at first and come in after each burst.
pub struct Goods {
    pub sku: &'static str,
    pub price: i64,
    pub on_hand: i64,
    pub restocked: i64,
}

/// Few, so that customers meet; some scarce, so that they are refused.
pub const GOODS: &[Goods] = &[
    Goods { sku: "KILL-MUG", price: 850, on_hand: 1_000_000, restocked: 0 },
    Goods { sku: "KILL-POT", price: 2_399, on_hand: 1_000_000, restocked: 0 },
    Goods { sku: "KILL-PAN", price: 4_150, on_hand: 1_000_000, restocked: 0 },
    Goods { sku: "KILL-CUP", price: 333, on_hand: 1_000_000, restocked: 0 },
    Goods { sku: "KILL-RARE-A", price: 9_900, on_hand: 12, restocked: 6 },
    Goods { sku: "KILL-RARE-B", price: 7_001, on_hand: 12, restocked: 6 },
];
/// The first scarce ones in the list.
const SCARCE_FROM: usize = 4;

/// One errand: one order and what is done about it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Goods by their place in the list, with how many pieces.
    pub lines: Vec<(usize, i64)>,
    /// Through the cart, or directly.
    pub by_cart: bool,
    pub paying: Paying,
    pub after: Vec<Step>,
    /// Of a hundred keyed requests so many are sent again after they were answered.
    pub repeats_percent: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paying {
    Not,
    /// Charged at once. The tokens are tried in this order; all but the last are declined.
    Charge(Vec<&'static str>),
    /// Only held at first.
    Hold(Held),
}

/// What an admin makes of what is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    Left,
    Captured,
    /// All but a tenth.
    CapturedInPart,
    Voided,
}

/// What follows the payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// An admin gives back so many hundredths of what was captured.
    Refund(i64),
    /// An admin tries to give back more than was captured.
    RefundTooMuch,
    /// The customer pays again under a new key.
    PayAgain,
    /// The customer calls the order off.
    Cancel,
    /// An admin packs and sends it, once it is confirmed.
    Ship,
}

impl Plan {
    pub fn roll(mut dice: Dice) -> Self {
        let mut plan = Self {
            lines: lines(&mut dice),
            by_cart: dice.chance(30),
            paying: paying(&mut dice),
            after: Vec::new(),
            repeats_percent: 20,
        };
        plan.after = plan.steps(&mut dice);
        plan
    }

    fn steps(&self, dice: &mut Dice) -> Vec<Step> {
        let captured =
            matches!(self.paying, Paying::Charge(_) | Paying::Hold(Held::Captured | Held::CapturedInPart));
        if !captured {
            return if dice.chance(50) { vec![Step::Cancel] } else { Vec::new() };
        }
        match dice.below(10) {
            0 | 1 => vec![Step::Cancel],
            2 => vec![Step::Refund(30), Step::Cancel],
            3 => vec![Step::Refund(25), Step::Refund(40), Step::RefundTooMuch],
            4 => vec![Step::Refund(100)],
            5 => vec![Step::PayAgain],
            6 | 7 => vec![Step::Ship],
            8 => vec![Step::Refund(50), Step::Ship],
            _ => Vec::new(),
        }
    }

    /// What it costs, in pence.
    pub fn total(&self) -> i64 {
        self.lines.iter().map(|(goods, quantity)| GOODS[*goods].price * quantity).sum()
    }

    /// Whether the shop may say that it has not so much.
    pub fn may_be_refused(&self) -> bool {
        self.lines.iter().any(|(goods, _)| *goods >= SCARCE_FROM)
    }
}

/// One to three lines, in any order of the SKUs.
fn lines(dice: &mut Dice) -> Vec<(usize, i64)> {
    let mut lines: Vec<(usize, i64)> = Vec::new();
    for _ in 0..=dice.below(3) {
        let scarce = dice.chance(15);
        let (from, to) = if scarce { (SCARCE_FROM, GOODS.len()) } else { (0, SCARCE_FROM) };
        let goods = *dice.pick(&(from..to).collect::<Vec<_>>());
        let quantity = *dice.pick(&[1, 1, 2, 3]);
        if lines.iter().all(|(other, _)| *other != goods) {
            lines.push((goods, quantity));
        }
    }
    lines
}

fn paying(dice: &mut Dice) -> Paying {
    match dice.below(20) {
        0..=2 => Paying::Not,
        3 => Paying::Charge(vec!["tok_declined", "tok_ok"]),
        4 => Paying::Charge(vec!["tok_insufficient_funds", "tok_declined", "tok_ok"]),
        5 => Paying::Charge(vec!["tok_timeout_then_ok"]),
        6 | 7 => Paying::Hold(Held::Captured),
        8 => Paying::Hold(Held::CapturedInPart),
        9 => Paying::Hold(Held::Voided),
        10 => Paying::Hold(Held::Left),
        _ => Paying::Charge(vec!["tok_ok"]),
    }
}
