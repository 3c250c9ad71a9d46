//! Orders of the past, as a file tells them.

use contracts::orders::OrderStatus;
use kernel::{Address, Money, MoneyError, Sku, Timestamp};

use crate::domain::total;

/// The most lines of one past order.
pub(crate) const MAX_LINES: usize = 10_000;
/// The most pieces of one line: the past is not bound by what may be ordered today.
pub(crate) const MAX_QUANTITY: i64 = 1_000_000_000;

/// The most that one order may come to, in minor units: as much as one that is placed today. Sums over all orders must
/// fit 64 bits.
pub(crate) const MAX_TOTAL_MINOR: i64 = 100_000_000_000_000;

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PastLine {
    pub(crate) sku: Sku,
    pub(crate) quantity: i64,
    pub(crate) unit_price: Money,
    pub(crate) line_total: Money,
    /// If the file has a name; else the catalogue's counts.
    pub(crate) name: Option<String>,
}

/// What the first line of an order says about the whole of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PastHeader {
    pub(crate) number: String,
    pub(crate) placed_at: Timestamp,
    pub(crate) customer: Option<String>,
    pub(crate) country: Option<String>,
    /// If the file has one; else new orders are delivered, and known ones stay what they are.
    pub(crate) status: Option<OrderStatus>,
}

/// A past order with all its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PastOrder {
    /// Where it begins in the file.
    pub(crate) line: u64,
    pub(crate) header: PastHeader,
    pub(crate) lines: Vec<PastLine>,
    pub(crate) total: Money,
}

impl PastOrder {
    /// Adds its lines up.
    pub(crate) fn new(line: u64, header: PastHeader, lines: Vec<PastLine>) -> Result<Self, String> {
        let Some(first) = lines.first() else {
            return Err("it has no line".to_owned());
        };
        let total = total::total(lines.iter().map(|line| line.line_total), first.unit_price.currency)
            .map_err(|error| error.to_string())?;
        if total.amount_minor > MAX_TOTAL_MINOR {
            return Err(format!("the total of {total} is too large"));
        }
        Ok(Self { line, header, lines, total })
    }
}

impl PastLine {
    /// A line that can be booked.
    pub(crate) fn new(
        sku: Sku,
        quantity: i64,
        unit_price: Money,
        name: Option<String>,
    ) -> Result<Self, String> {
        if !(1..=MAX_QUANTITY).contains(&quantity) {
            return Err(format!("quantity: must be from 1 to {MAX_QUANTITY}, not {quantity}"));
        }
        if unit_price.amount_minor < 0 {
            return Err(format!("unit_price: must not be negative, not {}", unit_price.to_decimal()));
        }
        let line_total = total::line_total(unit_price, quantity)
            .map_err(|error: MoneyError| format!("unit_price: {error}"))?;
        Ok(Self { sku, quantity, unit_price, line_total, name })
    }
}

/// What the file calls an order, 1 to 64 characters.
pub(crate) fn number(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("must not be empty".to_owned()) } else { plain(text, 64) }
}

/// A text of at most so many characters, none of them a control character.
pub(crate) fn plain(text: &str, most: usize) -> Result<String, String> {
    if text.chars().count() > most || text.chars().any(char::is_control) {
        return Err(format!("at most {most} characters without control characters"));
    }
    Ok(text.to_owned())
}

/// A country that an address can hold.
pub(crate) fn country(text: &str) -> Result<String, String> {
    Address::of_country(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use kernel::Currency;

    use super::*;

    fn line(quantity: i64, price_minor: i64) -> Result<PastLine, String> {
        PastLine::new(Sku::parse("A").unwrap(), quantity, Money::new(price_minor, Currency::GBP), None)
    }

    #[test]
    fn a_line_is_bounded_and_adds_up() {
        assert_eq!(line(6, 339).unwrap().line_total.amount_minor, 2_034);
        assert!(line(1, 0).is_ok());
        for (quantity, price) in [(0, 1), (-1, 1), (MAX_QUANTITY + 1, 1), (1, -1), (2, i64::MAX)] {
            assert!(line(quantity, price).is_err(), "{quantity} at {price}");
        }
    }

    #[test]
    fn texts_are_plain() {
        assert_eq!(number("536365").as_deref(), Ok("536365"));
        assert!(number(&"x".repeat(65)).is_err() && number("").is_err());
        assert!(plain("a\u{7}b", 64).is_err());
    }
}
