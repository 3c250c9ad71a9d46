//! What may be ordered, and what it costs.

use std::collections::BTreeSet;

use contracts::catalog::{CatalogProduct, ProductRef};
use contracts::orders::{MAX_LINES, NewOrderLine, PlaceRefusal};
use kernel::{Currency, Money, Sku};

use crate::domain::total;

/// The highest price of one piece, in whole units of its currency.
const MAX_UNIT_PRICE: i64 = 1_000_000;

/// Why an order is refused, and which lines (counted from 0) are at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) refusal: PlaceRefusal,
    pub(crate) lines: Vec<usize>,
}

impl Refused {
    fn line(line: usize, refusal: PlaceRefusal) -> Self {
        Self { refusal, lines: vec![line] }
    }
}

impl From<PlaceRefusal> for Refused {
    fn from(refusal: PlaceRefusal) -> Self {
        Self { refusal, lines: Vec::new() }
    }
}

/// One line with the catalogue's own price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PricedLine {
    pub(crate) product: CatalogProduct,
    pub(crate) quantity: i64,
    pub(crate) line_total: Money,
}

/// What is asked for, priced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PricedOrder {
    pub(crate) lines: Vec<PricedLine>,
    pub(crate) total: Money,
}

/// The checks that need no catalogue: 1 to 100 lines, none twice.
pub(crate) fn check_request(lines: &[NewOrderLine]) -> Result<(), Refused> {
    if lines.is_empty() || lines.len() > MAX_LINES {
        return Err(PlaceRefusal::LineCount.into());
    }
    let by_sku = lines.iter().enumerate().filter_map(|(at, line)| match &line.product {
        ProductRef::Sku(sku) => Some((at, sku)),
        ProductRef::Id(_) => None,
    });
    refuse_duplicates(by_sku)
}

/// Prices the lines with what the catalogue quoted, in the same order, and compares with what the client believes.
pub(crate) fn price(
    lines: &[NewOrderLine],
    quoted: Vec<CatalogProduct>,
    expected_total: Option<Money>,
    currency: Currency,
) -> Result<PricedOrder, Refused> {
    // A line may have named its product by id: only now are all SKUs known.
    refuse_duplicates(quoted.iter().map(|product| &product.sku).enumerate())?;
    let priced = lines
        .iter()
        .zip(quoted)
        .enumerate()
        .map(|(at, (line, product))| {
            price_line(line, product, currency).map_err(|refusal| Refused::line(at, refusal))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let total = total::total(priced.iter().map(|line| line.line_total), currency)
        .map_err(|_| PlaceRefusal::TotalTooLarge)?;
    match expected_total {
        Some(expected) if expected != total => {
            Err(PlaceRefusal::TotalMismatch { expected, actual: total }.into())
        }
        _ => Ok(PricedOrder { lines: priced, total }),
    }
}

fn price_line(
    line: &NewOrderLine,
    product: CatalogProduct,
    currency: Currency,
) -> Result<PricedLine, PlaceRefusal> {
    let actual = product.unit_price;
    if actual.currency != currency {
        // The shop takes one currency; what is priced in another is in the catalogue but not for sale.
        return Err(PlaceRefusal::RetiredProduct(vec![line.product.clone()]));
    }
    if actual.amount_minor > MAX_UNIT_PRICE.saturating_mul(10_i64.saturating_pow(currency.decimals())) {
        return Err(PlaceRefusal::PriceTooHigh(product.sku));
    }
    if let Some(expected) = line.expected_price.filter(|expected| *expected != actual) {
        return Err(PlaceRefusal::PriceChanged { sku: product.sku, expected, actual });
    }
    let quantity = line.quantity.get();
    let line_total = total::line_total(actual, quantity).map_err(|_| PlaceRefusal::TotalTooLarge)?;
    Ok(PricedLine { product, quantity, line_total })
}

fn refuse_duplicates<'a>(skus: impl Iterator<Item = (usize, &'a Sku)>) -> Result<(), Refused> {
    let mut seen = BTreeSet::new();
    for (at, sku) in skus {
        if !seen.insert(sku) {
            return Err(Refused::line(at, PlaceRefusal::DuplicateSku(sku.clone())));
        }
    }
    Ok(())
}

/// Which lines name one of these products.
pub(crate) fn lines_naming(lines: &[NewOrderLine], products: &[ProductRef]) -> Vec<usize> {
    lines.iter().enumerate().filter(|(_, line)| products.contains(&line.product)).map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use kernel::{ProductId, Quantity};
    use uuid::Uuid;

    use super::*;

    fn gbp(minor: i64) -> Money {
        Money::new(minor, Currency::GBP)
    }

    fn sku(text: &str) -> Sku {
        Sku::parse(text).unwrap()
    }

    fn line(text: &str, quantity: i64) -> NewOrderLine {
        NewOrderLine {
            product: ProductRef::Sku(sku(text)),
            quantity: Quantity::parse(quantity).unwrap(),
            expected_price: None,
        }
    }

    fn product(text: &str, unit_price: Money) -> CatalogProduct {
        let product_id = ProductId(Uuid::from_u128(1));
        CatalogProduct { product_id, sku: sku(text), name: text.to_owned(), unit_price, active: true }
    }

    #[test]
    fn an_order_has_one_to_a_hundred_lines() {
        let lines = |n: usize| (0..n).map(|at| line(&format!("S{at}"), 1)).collect::<Vec<_>>();
        assert_eq!(check_request(&lines(0)).unwrap_err().refusal, PlaceRefusal::LineCount);
        assert_eq!(check_request(&lines(1)), Ok(()));
        assert_eq!(check_request(&lines(100)), Ok(()));
        assert_eq!(check_request(&lines(101)).unwrap_err().refusal, PlaceRefusal::LineCount);
    }

    #[test]
    fn a_sku_stands_on_one_line_however_it_was_named() {
        let twice = Refused::line(1, PlaceRefusal::DuplicateSku(sku("A")));
        assert_eq!(check_request(&[line("a", 1), line("A", 2)]), Err(twice.clone()));
        let by_id = NewOrderLine { product: ProductRef::Id(ProductId(Uuid::from_u128(1))), ..line("X", 1) };
        let lines = [line("A", 1), by_id];
        assert_eq!(check_request(&lines), Ok(()));
        let quoted = vec![product("A", gbp(1)), product("A", gbp(1))];
        assert_eq!(price(&lines, quoted, None, Currency::GBP), Err(twice));
    }

    #[test]
    fn the_catalogue_prices_and_the_client_may_only_agree() {
        let believes = |minor| NewOrderLine { expected_price: Some(gbp(minor)), ..line("A", 3) };
        let priced = |line: NewOrderLine, total| {
            price(&[line], vec![product("A", gbp(250))], total, Currency::GBP).map(|order| order.total)
        };
        assert_eq!(priced(line("A", 3), None), Ok(gbp(750)));
        assert_eq!(priced(believes(250), Some(gbp(750))), Ok(gbp(750)));
        let changed = PlaceRefusal::PriceChanged { sku: sku("A"), expected: gbp(1), actual: gbp(250) };
        assert_eq!(priced(believes(1), None), Err(Refused::line(0, changed)));
        let mismatch = PlaceRefusal::TotalMismatch { expected: gbp(1), actual: gbp(750) };
        assert_eq!(priced(line("A", 3), Some(gbp(1))), Err(mismatch.into()));
    }

    #[test]
    fn prices_are_bounded_and_in_the_currency_of_the_shop() {
        let priced =
            |unit_price: Money| price(&[line("A", 1)], vec![product("A", unit_price)], None, Currency::GBP);
        assert!(priced(gbp(100_000_000)).is_ok());
        let refusal = |unit_price| priced(unit_price).unwrap_err().refusal;
        assert_eq!(refusal(gbp(100_000_001)), PlaceRefusal::PriceTooHigh(sku("A")));
        let yen = Money::new(100, Currency::parse("JPY").unwrap());
        assert!(matches!(refusal(yen), PlaceRefusal::RetiredProduct(_)));
    }
}
