//! Orders as CSV: the past comes in, everything goes out. One row a line of an order.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::audit::By;
use contracts::orders::OrderStatus;
use futures_util::{StreamExt, TryStreamExt};
use kernel::{Currency, Money, Sku, Timestamp};
use platform::csv::{ImportSummary, Record, Records, Rows, Source, Transfer};
use platform::problem::Problem;
use sea_orm::DbErr;
use uuid::Uuid;

use crate::Context;
use crate::app::import_orders::ImportRun;
use crate::domain::past_order::{self, MAX_LINES, PastHeader, PastLine, PastOrder};
use crate::store::{lines, orders};

/// Orders that share one transaction.
const ORDERS_AT_ONCE: usize = 200;
/// Lines of such a transaction at most, but for those of its last order.
const LINES_AT_ONCE: usize = 2_000;
/// Orders that an export reads at once.
const EXPORT_PAGE: u64 = 100;

const COLUMNS: &[&str] = &[
    "order_number",
    "placed_at",
    "customer",
    "country",
    "sku",
    "quantity",
    "unit_price",
    "currency",
    "name",
    "status",
];
const NEEDED: &[&str] = &["order_number", "placed_at", "sku", "quantity", "unit_price", "currency"];

pub(crate) struct TransferOrders {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl Transfer for TransferOrders {
    fn resource(&self) -> &'static str {
        "orders"
    }

    fn columns(&self) -> &'static [&'static str] {
        COLUMNS
    }

    /// Lines that follow each other with the same number are one order. Memory holds one batch, however long the file.
    async fn import(
        &self,
        source: Source<'_>,
        _by: By,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<ImportSummary, Problem> {
        let mut records = Records::open(source, NEEDED).await?;
        let mut run = ImportRun::new(&self.context);
        let imported = self.import_all(&mut records, &mut run, progress).await;
        // Also after a failure: what went in stays, and the next run starts clean.
        run.end().await?;
        imported
    }

    fn export(&self) -> Rows {
        let context = self.context.clone();
        futures_util::stream::try_unfold(Some(None), move |at: Option<Option<(i64, Uuid)>>| {
            let context = context.clone();
            async move {
                let Some(seen) = at else {
                    return Ok::<_, Problem>(None);
                };
                let page = orders::after(context.db.reader(), seen, EXPORT_PAGE).await?;
                let Some(last) = page.last().map(|row| (row.created_at_ms, row.id)) else {
                    return Ok(None);
                };
                let lines = lines::of_all(context.db.reader(), page.iter().map(|row| row.id)).await?;
                let mut rows = Vec::new();
                for order in &page {
                    for line in lines.get(&order.id).map(Vec::as_slice).unwrap_or_default() {
                        rows.push(Ok(cells(order, line)?));
                    }
                }
                Ok(Some((futures_util::stream::iter(rows), Some(Some(last)))))
            }
        })
        .try_flatten()
        .boxed()
    }
}

impl TransferOrders {
    async fn import_all(
        &self,
        records: &mut Records<'_>,
        run: &mut ImportRun<'_>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<ImportSummary, Problem> {
        let mut summary = ImportSummary::default();
        let mut group: Option<Group> = None;
        let (mut batch, mut lines) = (Vec::with_capacity(ORDERS_AT_ONCE), 0);
        loop {
            let record = records.next().await?;
            let ended = record.is_none();
            let number =
                record.as_ref().map(|record| record.get("order_number").unwrap_or_default().to_owned());
            if group.as_ref().is_some_and(|group| Some(&group.number) != number.as_ref())
                && let Some(complete) = group.take()
            {
                lines += complete.lines.len();
                batch.push(complete.finish());
            }
            if batch.len() >= ORDERS_AT_ONCE || lines >= LINES_AT_ONCE || ended {
                run.write(std::mem::take(&mut batch), &mut summary).await?;
                lines = 0;
                progress(records.rows_read);
            }
            if let (Some(record), Some(number)) = (record, number) {
                group
                    .get_or_insert_with(|| Group::new(record.line, number))
                    .add(&record, self.context.settings.currency);
            }
            if ended {
                summary.rows_read = records.rows_read;
                return Ok(summary);
            }
        }
    }
}

/// An order of the file, taken or refused.
pub(super) struct Told {
    /// What the file calls it.
    pub(super) number: String,
    /// Where it begins.
    pub(super) line: u64,
    /// Or the line at fault, and why.
    pub(super) order: Result<PastOrder, (u64, String)>,
}

/// Lines of one order, as they come in.
struct Group {
    number: String,
    line: u64,
    header: Option<PastHeader>,
    lines: Vec<PastLine>,
    fault: Option<(u64, String)>,
}

impl Group {
    fn new(line: u64, number: String) -> Self {
        Self { number, line, header: None, lines: Vec::new(), fault: None }
    }

    /// The first fault refuses the whole order; its other lines are only passed over.
    fn add(&mut self, record: &Record, currency: Currency) {
        if self.fault.is_some() {
            return;
        }
        if let Err(reason) = self.take(record, currency) {
            self.fault = Some((record.line, reason));
            self.lines = Vec::new();
        }
    }

    fn take(&mut self, record: &Record, currency: Currency) -> Result<(), String> {
        if self.header.is_none() {
            self.header = Some(header(record)?);
        } else {
            // The order was placed when its first line was, but each line must say something that can be read.
            record.parse("placed_at", Timestamp::parse)?;
        }
        if self.lines.len() >= MAX_LINES {
            return Err(format!("an order has at most {MAX_LINES} lines"));
        }
        self.lines.push(line(record, currency)?);
        Ok(())
    }

    fn finish(self) -> Told {
        let Self { number, line, header, lines, fault } = self;
        let order = match (fault, header) {
            (Some(fault), _) => Err(fault),
            (None, Some(header)) => PastOrder::new(line, header, lines).map_err(|reason| (line, reason)),
            (None, None) => Err((line, "it has no line".to_owned())),
        };
        Told { number, line, order }
    }
}

fn header(record: &Record) -> Result<PastHeader, String> {
    let status =
        |text: &str| OrderStatus::parse(text).ok_or_else(|| format!("`{text}` is not a status of an order"));
    Ok(PastHeader {
        number: record.parse("order_number", past_order::number)?,
        placed_at: record.parse("placed_at", Timestamp::parse)?,
        customer: optional(record, "customer", |text| past_order::plain(text, 200))?,
        country: optional(record, "country", past_order::country)?,
        status: optional(record, "status", status)?,
    })
}

fn line(record: &Record, shop_currency: Currency) -> Result<PastLine, String> {
    let currency = record.parse("currency", Currency::parse)?;
    if currency != shop_currency {
        return Err(format!("currency: this shop counts in {shop_currency}, not in {currency}"));
    }
    PastLine::new(
        record.parse("sku", Sku::parse)?,
        record.whole_number("quantity")?,
        record.parse("unit_price", |text| Money::parse_decimal(text, currency))?,
        optional(record, "name", |text| past_order::plain(text, 500))?,
    )
}

/// A cell that may be empty or missing.
fn optional<T>(
    record: &Record,
    column: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    record.get(column).map(|_| record.parse(column, parse)).transpose()
}

/// What the file calls the customer: the reference of the imported file, or the account.
pub(super) fn customer_of(row: &orders::Model) -> Option<String> {
    row.customer_ref.clone().or_else(|| row.user_id.map(|user| user.to_string()))
}

fn cells(order: &orders::Model, line: &lines::Model) -> Result<Vec<String>, DbErr> {
    Ok(vec![
        order.number.clone(),
        Timestamp::from_ms(order.created_at_ms).to_string(),
        customer_of(order).unwrap_or_default(),
        order.country.clone().unwrap_or_default(),
        line.sku.clone(),
        line.quantity.to_string(),
        Money::new(line.unit_price_minor, order.currency()?).to_decimal(),
        order.currency.clone(),
        line.name.clone(),
        order.status.clone(),
    ])
}
