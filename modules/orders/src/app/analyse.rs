//! What the shop has sold.

use std::collections::BTreeMap;

use contracts::orders::OrderStatus;
use kernel::{Money, Sku, Timestamp};
use platform::connection::Transaction;
use sea_orm::DbErr;

use crate::Context;
use crate::store::analytics::{self, Span};

/// What the points of the series stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupBy {
    Day,
    Month,
    Country,
}

/// One point of the series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Point {
    /// `2026-03-01`, `2026-03` or the country as customers write it.
    pub(crate) key: String,
    pub(crate) orders: i64,
    pub(crate) revenue: Money,
}

/// What was sold of one product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopProduct {
    pub(crate) sku: Sku,
    pub(crate) name: String,
    pub(crate) quantity: i64,
    pub(crate) revenue: Money,
}

/// The sums of a span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Analysis {
    /// Orders that are not cancelled.
    pub(crate) orders: i64,
    /// Their totals less refunds.
    pub(crate) revenue: Money,
    /// Revenue by order, rounded down to the minor unit; zero without orders.
    pub(crate) average_order_value: Money,
    /// Every status with its orders, cancelled ones too.
    pub(crate) by_status: BTreeMap<OrderStatusName, i64>,
    pub(crate) top_products: Vec<TopProduct>,
    pub(crate) series: Vec<Point>,
}

/// [`OrderStatus::as_str`].
pub(crate) type OrderStatusName = &'static str;

/// What country-less orders are filed under.
const NO_COUNTRY: &str = "unknown";

/// Sums up the orders placed in `from..to` in the shop's currency, all of it from one snapshot of the database.
pub(crate) async fn analyse(
    context: &Context,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    group_by: GroupBy,
) -> Result<Analysis, DbErr> {
    let currency = context.settings.currency;
    let money = |minor| Money::new(minor, currency);
    let span = Span {
        from: from.unwrap_or(Timestamp::EPOCH),
        to: to.unwrap_or(Timestamp::from_ms(i64::MAX)),
        currency,
    };
    let snapshot = context.db.snapshot().await?;
    let statuses = analytics::by_status(&snapshot, span).await?;
    let products = analytics::top_products(&snapshot, span).await?;
    let series = series(&snapshot, span, group_by).await?;
    snapshot.rollback().await?;

    let mut by_status: BTreeMap<_, _> =
        OrderStatus::ALL.into_iter().map(|status| (status.as_str(), 0)).collect();
    let (mut orders, mut revenue_minor) = (0_i64, 0_i64);
    for sum in statuses {
        let Some(status) = OrderStatus::parse(&sum.status) else {
            continue;
        };
        by_status.insert(status.as_str(), sum.orders);
        if status != OrderStatus::Cancelled {
            orders += sum.orders;
            revenue_minor += sum.revenue_minor;
        }
    }
    let top_products = products
        .into_iter()
        .map(|sum| {
            let sku =
                Sku::parse(&sum.sku).map_err(|error| DbErr::Custom(format!("a stored SKU: {error}")))?;
            Ok(TopProduct { sku, name: sum.name, quantity: sum.quantity, revenue: money(sum.revenue_minor) })
        })
        .collect::<Result<_, DbErr>>()?;
    let average_order_value = money(revenue_minor.checked_div(orders).unwrap_or(0));
    Ok(Analysis {
        orders,
        revenue: money(revenue_minor),
        average_order_value,
        by_status,
        top_products,
        series,
    })
}

async fn series(snapshot: &Transaction, span: Span, group_by: GroupBy) -> Result<Vec<Point>, DbErr> {
    let point = |key, orders, minor| Point { key, orders, revenue: Money::new(minor, span.currency) };
    if group_by == GroupBy::Country {
        let rows = analytics::by_country(snapshot, span).await?.into_iter();
        let key = |country: Option<String>| country.unwrap_or_else(|| NO_COUNTRY.to_owned());
        return Ok(rows.map(|row| point(key(row.country), row.orders, row.revenue_minor)).collect());
    }
    // No expression for months reads the same in both databases, so they are folded from days here.
    let mut by_key: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for row in analytics::by_day(snapshot, span).await? {
        let day = Timestamp::from_day_number(row.day);
        let key = if group_by == GroupBy::Month { day.month() } else { day.date() };
        let sums = by_key.entry(key).or_default();
        sums.0 += row.orders;
        sums.1 += row.revenue_minor;
    }
    Ok(by_key.into_iter().map(|(key, (orders, minor))| point(key, orders, minor)).collect())
}
