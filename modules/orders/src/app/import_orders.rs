//! Writes orders of the past: their own prices and names, no stock, no account, no events.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use contracts::catalog::CatalogProduct;
use contracts::orders::{OrderStatus, PaymentStatus};
use kernel::{Address, Sku};
use platform::csv::ImportSummary;
use platform::db::Tx;
use sea_orm::DbErr;
use serde_json::json;
use uuid::Uuid;

use crate::Context;
use crate::app::transfer_orders::{Told, customer_of};
use crate::domain::past_order::{self, PastLine, PastOrder};
use crate::error::OrdersError;
use crate::store::timeline::Entry;
use crate::store::{import_numbers, lines, orders, timeline};

/// Products remembered between batches, so that a popular one is not asked for in each.
const MOST_REMEMBERED: usize = 10_000;
/// SKUs that the catalogue is asked for at once.
const ASKED_AT_ONCE: usize = 100;
/// How often a batch is tried while another import writes the same numbers.
const MAX_TRIES: usize = 5;
/// After this long the numbers of a run that never ended belong to a crash.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 3_600);

const SCATTERED: &str =
    "order_number: the lines of an order must follow each other; it came before in this file";
const NOT_IMPORTED: &str =
    "order_number: it belongs to an order that was placed in this shop, and differs from it";

/// One import of one file.
pub(super) struct ImportRun<'a> {
    context: &'a Context,
    id: Uuid,
    /// Known and unknown products alike.
    products: HashMap<Sku, Option<CatalogProduct>>,
}

/// What becomes of an order of the file.
enum Verdict {
    Create(PastOrder),
    Update(Box<orders::Model>, PastOrder),
    Unchanged,
    Refuse(u64, String, String),
}

impl<'a> ImportRun<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        Self { context, id: context.db.system().id(), products: HashMap::new() }
    }

    /// Writes a batch in one transaction. Power fails before its commit: none of it is in, and the file can be imported again.
    pub(super) async fn write(
        &mut self,
        batch: Vec<Told>,
        summary: &mut ImportSummary,
    ) -> Result<(), OrdersError> {
        if batch.is_empty() {
            return Ok(());
        }
        // The catalogue is asked before the transaction begins: no call waits for another module inside one.
        self.learn_products(&batch).await?;
        for _try in 0..MAX_TRIES {
            let tx = self.context.db.begin().await?;
            let verdicts = self.judge(&tx, &batch).await?;
            if self.carry_out(&tx, &verdicts).await? {
                tx.commit().await?;
                count(verdicts, summary);
                return Ok(());
            }
            // Another import has taken one of the numbers since they were read: look again.
            tx.rollback().await?;
        }
        Err(OrdersError::Changed { version: 0 })
    }

    /// Forgets the numbers of this run.
    pub(super) async fn end(self) -> Result<(), DbErr> {
        let left_before = self.context.db.system().now().minus(LEFT_BEHIND);
        let tx = self.context.db.begin().await?;
        import_numbers::forget(tx.conn(), self.id, left_before).await?;
        tx.commit().await.map(|_| ())
    }

    async fn learn_products(&mut self, batch: &[Told]) -> Result<(), OrdersError> {
        let wanted: HashSet<&Sku> = batch
            .iter()
            .filter_map(|told| told.order.as_ref().ok())
            .flat_map(|order| &order.lines)
            .map(|line| &line.sku)
            .collect();
        if self.products.len() + wanted.len() > MOST_REMEMBERED {
            self.products.clear();
        }
        let unheard: Vec<Sku> =
            wanted.into_iter().filter(|sku| !self.products.contains_key(sku)).cloned().collect();
        for some in unheard.chunks(ASKED_AT_ONCE) {
            let found = self.context.catalog.find(some).await.map_err(OrdersError::silent)?;
            self.products.extend(some.iter().map(|sku| (sku.clone(), None)));
            self.products.extend(found.into_iter().map(|product| (product.sku.clone(), Some(product))));
        }
        Ok(())
    }

    /// Compares each order of the file with what is known under its number.
    async fn judge(&self, tx: &Tx, batch: &[Told]) -> Result<Vec<Verdict>, DbErr> {
        // A text that cannot be a number is refused for that, and never asked for.
        let numbers: Vec<String> = batch
            .iter()
            .map(|told| told.number.clone())
            .filter(|number| past_order::number(number).is_ok())
            .collect();
        let known: HashMap<String, orders::Model> = orders::by_numbers(tx.conn(), &numbers)
            .await?
            .into_iter()
            .map(|row| (row.number.clone(), row))
            .collect();
        let known_lines = lines::of_all(tx.conn(), known.values().map(|row| row.id)).await?;
        let mut met = import_numbers::met(tx.conn(), self.id, &numbers).await?;
        let mut met_now = Vec::new();
        let mut verdicts = Vec::with_capacity(batch.len());
        for told in batch {
            let is_first = met.insert(told.number.clone());
            if is_first && numbers.contains(&told.number) {
                met_now.push(told.number.clone());
            }
            verdicts.push(match &told.order {
                Err((line, reason)) => Verdict::Refuse(*line, told.number.clone(), reason.clone()),
                Ok(_) if !is_first => Verdict::Refuse(told.line, told.number.clone(), SCATTERED.to_owned()),
                Ok(order) => judge_one(order, known.get(&told.number), &known_lines),
            });
        }
        import_numbers::remember(tx.conn(), self.id, &met_now, tx.system().now()).await?;
        Ok(verdicts)
    }

    /// Writes what is new or has changed. False if a number was taken meanwhile.
    async fn carry_out(&self, tx: &Tx, verdicts: &[Verdict]) -> Result<bool, DbErr> {
        let (mut new, mut new_lines, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        for verdict in verdicts {
            match verdict {
                Verdict::Create(order) => {
                    let row = self.new_row(order)?;
                    new_lines.extend(self.line_rows(row.id, order));
                    let mut entry = Entry::new(row.order_id(), "created", order.header.placed_at);
                    entry.data = Some(json!({"number": row.number, "total": order.total, "imported": true}));
                    entries.push(entry);
                    new.push(row);
                }
                Verdict::Update(before, order) => {
                    if !self.rewrite(tx, before, order).await? {
                        return Ok(false);
                    }
                    new_lines.extend(self.line_rows(before.id, order));
                    let mut entry = Entry::new(before.order_id(), "updated", tx.system().now());
                    entry.data = Some(json!({"imported": true}));
                    entries.push(entry);
                }
                Verdict::Unchanged | Verdict::Refuse(..) => {}
            }
        }
        let wanted = u64::try_from(new.len()).unwrap_or(u64::MAX);
        if orders::insert_imported(tx.conn(), new).await? < wanted {
            return Ok(false);
        }
        lines::insert_all(tx.conn(), new_lines).await?;
        timeline::append(tx.conn(), entries).await?;
        Ok(true)
    }

    fn new_row(&self, order: &PastOrder) -> Result<orders::Model, DbErr> {
        let header = &order.header;
        Ok(orders::Model {
            id: self.context.db.system().id(),
            number: header.number.clone(),
            user_id: None,
            customer_ref: header.customer.clone(),
            status: header.status.unwrap_or(OrderStatus::Delivered).as_str().to_owned(),
            // The past was paid, outside this shop: no payment of this one holds the order.
            payment_status: PaymentStatus::Captured.as_str().to_owned(),
            payment_id: None,
            payment_begun_at_ms: None,
            payment_due_at_ms: None,
            total_minor: order.total.amount_minor,
            refunded_minor: 0,
            currency: order.total.currency.as_str().to_owned(),
            shipping_address: address_of(header.country.as_deref())?,
            country: header.country.clone(),
            cart_id: None,
            reservation_id: None,
            pending_reservation_id: None,
            reactivating_since_ms: None,
            imported: true,
            version: 1,
            created_at_ms: header.placed_at.ms(),
            updated_at_ms: header.placed_at.ms(),
        })
    }

    /// Makes a known imported order what the file says. False if it has changed meanwhile.
    async fn rewrite(&self, tx: &Tx, before: &orders::Model, order: &PastOrder) -> Result<bool, DbErr> {
        let header = &order.header;
        let mut after = before.clone();
        after.customer_ref.clone_from(&header.customer);
        after.country.clone_from(&header.country);
        after.shipping_address = address_of(header.country.as_deref())?;
        after.total_minor = order.total.amount_minor;
        after.created_at_ms = header.placed_at.ms();
        if let Some(status) = header.status {
            after.status = status.as_str().to_owned();
        }
        lines::delete_of(tx.conn(), before.id).await?;
        Ok(orders::save(tx.conn(), before, after, tx.system().now()).await?.is_some())
    }

    fn line_rows(&self, order_id: Uuid, order: &PastOrder) -> Vec<lines::Model> {
        let rows = (1..).zip(&order.lines).map(|(line_no, line)| {
            let product = self.products.get(&line.sku).and_then(Option::as_ref);
            let name = line.name.clone().or_else(|| product.map(|product| product.name.clone()));
            lines::Model {
                order_id,
                line_no,
                sku: line.sku.as_str().to_owned(),
                product_id: product.map(|product| product.product_id.uuid()),
                name: name.unwrap_or_else(|| line.sku.as_str().to_owned()),
                quantity: line.quantity,
                unit_price_minor: line.unit_price.amount_minor,
                line_total_minor: line.line_total.amount_minor,
            }
        });
        rows.collect()
    }
}

fn judge_one(
    order: &PastOrder,
    known: Option<&orders::Model>,
    known_lines: &HashMap<Uuid, Vec<lines::Model>>,
) -> Verdict {
    let Some(known) = known else {
        return Verdict::Create(order.clone());
    };
    let lines = known_lines.get(&known.id).map(Vec::as_slice).unwrap_or_default();
    if is_same(order, known, lines) {
        return Verdict::Unchanged;
    }
    if known.imported {
        return Verdict::Update(Box::new(known.clone()), order.clone());
    }
    Verdict::Refuse(order.line, order.header.number.clone(), NOT_IMPORTED.to_owned())
}

/// Whether the file says nothing new. What it leaves open (status, names) is not compared.
fn is_same(order: &PastOrder, known: &orders::Model, lines: &[lines::Model]) -> bool {
    let header = &order.header;
    let same_header = known.created_at_ms == header.placed_at.ms()
        && customer_of(known) == header.customer
        && known.country == header.country
        && known.currency == order.total.currency.as_str()
        && header.status.is_none_or(|status| status.as_str() == known.status);
    let same_line = |(told, known): (&PastLine, &lines::Model)| {
        told.sku.as_str() == known.sku
            && told.quantity == known.quantity
            && told.unit_price.amount_minor == known.unit_price_minor
            && told.name.as_deref().is_none_or(|name| name == known.name.trim())
    };
    same_header && order.lines.len() == lines.len() && order.lines.iter().zip(lines).all(same_line)
}

fn address_of(country: Option<&str>) -> Result<Option<serde_json::Value>, DbErr> {
    let address =
        country.map(Address::of_country).transpose().map_err(|error| DbErr::Custom(error.to_string()))?;
    address.map(serde_json::to_value).transpose().map_err(|error| DbErr::Custom(error.to_string()))
}

fn count(verdicts: Vec<Verdict>, summary: &mut ImportSummary) {
    for verdict in verdicts {
        match verdict {
            Verdict::Create(_) => summary.created += 1,
            Verdict::Update(..) => summary.updated += 1,
            Verdict::Unchanged => summary.unchanged += 1,
            Verdict::Refuse(line, number, reason) => summary.refuse(line, number, reason),
        }
    }
}
