//! What is in a cart.

use contracts::orders::{MAX_LINES, OrderItem};
use kernel::{Quantity, Sku, Timestamp};
use thiserror::Error;

/// So many pieces of one SKU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) sku: Sku,
    pub(crate) quantity: Quantity,
    pub(crate) added_at: Timestamp,
}

/// The lines of a cart, one a SKU, at most [`MAX_LINES`], in the order in which they came (by SKU where they came in the
/// same millisecond), so that a cart looks the same whether it was just changed or is read again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Basket {
    lines: Vec<Line>,
}

/// Why nothing more fits.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a cart has at most {MAX_LINES} lines")]
pub(crate) struct TooManyLines;

impl Basket {
    /// From stored lines, which came from a basket.
    pub(crate) fn of(lines: Vec<Line>) -> Self {
        let mut basket = Self { lines };
        basket.sort();
        basket
    }

    fn sort(&mut self) {
        self.lines.sort_by(|one, other| (one.added_at, &one.sku).cmp(&(other.added_at, &other.sku)));
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(crate) fn skus(&self) -> Vec<Sku> {
        self.lines.iter().map(|line| line.sku.clone()).collect()
    }

    pub(crate) fn get(&self, sku: &Sku) -> Option<&Line> {
        self.lines.iter().find(|line| line.sku == *sku)
    }

    /// The lines that another basket lacks, or has with another quantity.
    pub(crate) fn differing<'a>(&'a self, other: &Self) -> Vec<&'a Line> {
        let differs = |line: &&Line| other.get(&line.sku).is_none_or(|was| was.quantity != line.quantity);
        self.lines.iter().filter(differs).collect()
    }

    /// Sets the pieces of a SKU; a SKU that is there keeps its place.
    pub(crate) fn put(&mut self, sku: &Sku, quantity: Quantity, now: Timestamp) -> Result<(), TooManyLines> {
        if let Some(line) = self.lines.iter_mut().find(|line| line.sku == *sku) {
            line.quantity = quantity;
            return Ok(());
        }
        if self.lines.len() >= MAX_LINES {
            return Err(TooManyLines);
        }
        self.lines.push(Line { sku: sku.clone(), quantity, added_at: now });
        self.sort();
        Ok(())
    }

    /// Takes a SKU out, if it is there.
    pub(crate) fn remove(&mut self, sku: &Sku) {
        self.lines.retain(|line| line.sku != *sku);
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) {
        self.lines.clear();
    }

    /// Adds another basket. The pieces of a SKU are added up, to [`Quantity::MAX`] at most: nobody is kept from their
    /// cart because they were eager twice. Too many lines are refused, as dropping one would be silent.
    pub(crate) fn absorb(&mut self, other: &Basket) -> Result<(), TooManyLines> {
        for line in &other.lines {
            let held = self.get(&line.sku).map_or(0, |held| held.quantity.get());
            let sum = held.saturating_add(line.quantity.get()).min(Quantity::MAX);
            let quantity = Quantity::parse(sum).unwrap_or(line.quantity);
            self.put(&line.sku, quantity, line.added_at)?;
        }
        Ok(())
    }

    /// What is left when an order takes its items out. Items that the basket does not hold (any more) take nothing.
    pub(crate) fn without(&self, ordered: &[OrderItem]) -> Basket {
        let left = self.lines.iter().filter_map(|line| {
            let taken: i64 = ordered
                .iter()
                .filter(|item| item.sku == line.sku)
                .fold(0, |sum, item| sum.saturating_add(item.quantity.max(0)));
            let quantity = Quantity::parse(line.quantity.get().saturating_sub(taken)).ok()?;
            Some(Line { quantity, ..line.clone() })
        });
        Basket { lines: left.collect() }
    }
}

#[cfg(test)]
mod tests {
    use kernel::{Currency, Money};

    use super::*;

    fn sku(text: &str) -> Sku {
        Sku::parse(text).unwrap()
    }

    fn basket(lines: &[(&str, i64)]) -> Basket {
        let mut basket = Basket::default();
        for (text, n) in lines {
            basket.put(&sku(text), Quantity::parse(*n).unwrap(), Timestamp::EPOCH).unwrap();
        }
        basket
    }

    fn item(text: &str, quantity: i64) -> OrderItem {
        let nothing = Money::zero(Currency::GBP);
        OrderItem {
            sku: sku(text),
            product_id: None,
            name: String::new(),
            quantity,
            unit_price: nothing,
            line_total: nothing,
        }
    }

    #[test]
    fn a_sku_has_one_line_and_keeps_its_place() {
        let mut basket = basket(&[("A", 1), ("B", 2), ("a", 5)]);
        assert_eq!(basket.skus(), vec![sku("A"), sku("B")]);
        assert_eq!(basket.get(&sku("A")).unwrap().quantity.get(), 5);
        basket.remove(&sku("A"));
        basket.remove(&sku("NEVER-THERE"));
        assert_eq!(basket.skus(), vec![sku("B")]);
        basket.clear();
        assert!(basket.is_empty());
    }

    #[test]
    fn the_hundred_and_first_line_does_not_fit_but_a_known_one_may_change() {
        let one = Quantity::parse(1).unwrap();
        let mut full = Basket::default();
        for n in 0..MAX_LINES {
            full.put(&sku(&format!("S{n}")), one, Timestamp::EPOCH).unwrap();
        }
        assert_eq!(full.put(&sku("ONE-MORE"), one, Timestamp::EPOCH), Err(TooManyLines));
        assert_eq!(full.put(&sku("S7"), Quantity::parse(7).unwrap(), Timestamp::EPOCH), Ok(()));
        assert_eq!(full.clone().absorb(&basket(&[("S1", 1)])), Ok(()));
        assert_eq!(full.absorb(&basket(&[("ONE-MORE", 1)])), Err(TooManyLines));
    }

    #[test]
    fn two_baskets_add_up_to_ten_thousand_at_most() {
        let mut mine = basket(&[("A", 9_999), ("B", 1)]);
        mine.absorb(&basket(&[("C", 3), ("A", 2), ("B", 4)])).unwrap();
        assert_eq!(mine, basket(&[("A", 10_000), ("B", 5), ("C", 3)]));
    }

    #[test]
    fn lines_stand_in_the_order_in_which_they_came_also_after_a_merge() {
        let at = |ms, text: &str| Line {
            sku: sku(text),
            quantity: Quantity::parse(1).unwrap(),
            added_at: Timestamp::from_ms(ms),
        };
        let mut mine = Basket::of(vec![at(5, "B"), at(2, "Z"), at(5, "A")]);
        mine.absorb(&Basket::of(vec![at(3, "M")])).unwrap();
        assert_eq!(mine.skus(), ["Z", "M", "A", "B"].map(sku));
    }

    #[test]
    fn an_order_takes_only_what_it_ordered() {
        let cart = basket(&[("A", 5), ("B", 1), ("C", 2)]);
        assert_eq!(cart.without(&[item("A", 3), item("B", 4), item("X", 1)]), basket(&[("A", 2), ("C", 2)]));
        assert_eq!(cart.without(&[item("A", 2), item("A", 3), item("B", -1)]), basket(&[("B", 1), ("C", 2)]));
        assert!(cart.without(&[item("A", 5), item("B", 1), item("C", i64::MAX)]).is_empty());
    }
}
