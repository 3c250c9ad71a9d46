//! What an order asks for, in the one order in which stock rows are ever taken.

use std::collections::BTreeMap;

use contracts::inventory::StockLine;
use kernel::Sku;

/// Sums the lines by SKU. The result is in SKU order: two baskets that share SKUs take their rows in the same order
/// and so cannot deadlock.
pub(crate) fn by_sku(lines: &[StockLine]) -> BTreeMap<Sku, i64> {
    lines.iter().fold(BTreeMap::new(), |mut demand, line| {
        let sum = demand.entry(line.sku.clone()).or_insert(0_i64);
        *sum = sum.saturating_add(line.quantity.get());
        demand
    })
}

#[cfg(test)]
mod tests {
    use kernel::Quantity;

    use super::*;

    #[test]
    fn the_same_sku_is_summed_and_skus_are_sorted() {
        let line =
            |sku: &str, n| StockLine { sku: Sku::parse(sku).unwrap(), quantity: Quantity::parse(n).unwrap() };
        let demand: Vec<_> = by_sku(&[line("B", 2), line("A", 1), line("b", 3)]).into_iter().collect();
        assert_eq!(demand, vec![(Sku::parse("A").unwrap(), 1), (Sku::parse("B").unwrap(), 5)]);
    }
}
