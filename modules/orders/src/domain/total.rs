//! Sums of orders, checked.

use kernel::{Currency, Money, MoneyError};

/// `quantity * unit_price`.
pub(crate) fn line_total(unit_price: Money, quantity: i64) -> Result<Money, MoneyError> {
    unit_price.checked_mul(quantity)
}

/// The sum of line totals.
pub(crate) fn total(
    line_totals: impl IntoIterator<Item = Money>,
    currency: Currency,
) -> Result<Money, MoneyError> {
    line_totals.into_iter().try_fold(Money::zero(currency), Money::checked_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_exact_or_refused() {
        let gbp = |minor| Money::new(minor, Currency::GBP);
        assert_eq!(line_total(gbp(339), 6), Ok(gbp(2_034)));
        assert_eq!(total([gbp(10), gbp(20)], Currency::GBP), Ok(gbp(30)));
        assert_eq!(total([], Currency::GBP), Ok(gbp(0)));
        assert_eq!(line_total(gbp(i64::MAX), 2), Err(MoneyError::Overflow));
        assert_eq!(total([gbp(i64::MAX), gbp(1)], Currency::GBP), Err(MoneyError::Overflow));
        let yen = Money::new(1, Currency::parse("JPY").unwrap());
        assert!(matches!(total([yen], Currency::GBP), Err(MoneyError::CurrencyMismatch { .. })));
    }
}
