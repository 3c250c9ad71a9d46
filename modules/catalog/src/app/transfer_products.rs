//! Products as CSV, in and out.
//!
//! A line creates the product of its SKU or brings it up to date. An optional cell that is empty, or whose column is
//! missing, leaves what is there: a file of prices alone must not wipe descriptions. Where a SKU comes twice in a file,
//! the later line is an update of the earlier one; remembering every SKU of a file would take memory without bound.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use contracts::audit::By;
use futures_util::{StreamExt, TryStreamExt};
use kernel::{Currency, Money, Sku};
use platform::csv::{ImportSummary, Record, Records, Rows, Source, Transfer};
use platform::problem::Problem;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::Context;
use crate::app::MAX_PRODUCTS_A_CALL;
use crate::app::import_batch::{Line, import_batch};
use crate::domain::product::Draft;
use crate::error::inventory_is_silent;
use crate::product::Contents;
use crate::store::products::{self, Row};

/// Records that share one transaction.
const BATCH: usize = 500;
/// The most pieces that inventory takes.
const MAX_STOCK: i64 = 1_000_000_000;

pub(crate) struct TransferProducts {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl Transfer for TransferProducts {
    fn resource(&self) -> &'static str {
        "products"
    }

    fn columns(&self) -> &'static [&'static str] {
        &[
            "sku",
            "name",
            "category",
            "price",
            "currency",
            "description",
            "image_url",
            "active",
            "attributes",
            "stock",
        ]
    }

    async fn import(
        &self,
        source: Source<'_>,
        by: By,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<ImportSummary, Problem> {
        let mut records = Records::open(source, &["sku", "name", "category", "price"]).await?;
        let mut summary = ImportSummary::default();
        let mut batch: Vec<Line> = Vec::with_capacity(BATCH);
        let mut skus: HashSet<Sku> = HashSet::with_capacity(BATCH);
        while let Some(record) = records.next().await? {
            let line = match parse(&record, self.context.settings.currency) {
                Ok(line) => line,
                Err(reason) => {
                    summary.refuse(record.line, record.get("sku").unwrap_or_default(), reason);
                    continue;
                }
            };
            // One statement cannot write the same SKU twice: the earlier line goes in first.
            if batch.len() >= BATCH || skus.contains(&line.sku) {
                skus.clear();
                self.flush(std::mem::take(&mut batch), by, &mut summary).await?;
                progress(records.rows_read);
            }
            skus.insert(line.sku.clone());
            batch.push(line);
        }
        self.flush(batch, by, &mut summary).await?;
        progress(records.rows_read);
        summary.rows_read = records.rows_read;
        summary.refusals.sort_by_key(|refusal| refusal.line);
        Ok(summary)
    }

    fn export(&self) -> Rows {
        let context = self.context.clone();
        let first: Option<Option<Uuid>> = Some(None);
        futures_util::stream::try_unfold(first, move |at| {
            let context = context.clone();
            async move {
                let Some(after) = at else {
                    return Ok::<_, Problem>(None);
                };
                let (rows, last) = export_page(&context, after).await?;
                Ok(Some((futures_util::stream::iter(rows.into_iter().map(Ok)), last.map(Some))))
            }
        })
        .try_flatten()
        .boxed()
    }
}

impl TransferProducts {
    /// Writes a batch to its end, even if the client goes away meanwhile.
    async fn flush(&self, batch: Vec<Line>, by: By, summary: &mut ImportSummary) -> Result<(), Problem> {
        if batch.is_empty() {
            return Ok(());
        }
        let context = self.context.clone();
        let done =
            self.context.db.system().to_the_end(async move { import_batch(&context, batch, by).await }).await;
        let done = done.map_err(|panicked| Problem::internal(&panicked))??;
        summary.created += done.created;
        summary.updated += done.updated;
        summary.unchanged += done.unchanged;
        for (line, sku, reason) in done.refused {
            summary.refuse(line, sku.as_str(), reason);
        }
        Ok(())
    }
}

/// A page of cells, and the id to go on after.
async fn export_page(
    context: &Context,
    after: Option<Uuid>,
) -> Result<(Vec<Vec<String>>, Option<Uuid>), Problem> {
    let size = u64::try_from(MAX_PRODUCTS_A_CALL).unwrap_or_default();
    let rows = products::all_after(context.db.reader(), after, size).await?;
    let skus =
        rows.iter().map(|row| row.shown().map(|shown| shown.product.sku)).collect::<Result<Vec<_>, _>>()?;
    let levels = if skus.is_empty() {
        Vec::new()
    } else {
        context.inventory.levels(&skus).await.map_err(inventory_is_silent)?
    };
    let on_hand =
        |row: &Row| levels.iter().find(|level| level.sku.as_str() == row.sku).map(|level| level.on_hand);
    let cells = rows.iter().map(|row| cells(row, on_hand(row))).collect::<Result<_, _>>()?;
    let is_last = rows.len() < MAX_PRODUCTS_A_CALL;
    Ok((cells, rows.last().filter(|_| !is_last).map(|row| row.id)))
}

fn cells(row: &Row, on_hand: Option<i64>) -> Result<Vec<String>, Problem> {
    let draft = row.draft()?;
    Ok(vec![
        draft.sku,
        draft.name,
        draft.category,
        draft.price.to_decimal(),
        draft.price.currency.to_string(),
        draft.description.unwrap_or_default(),
        draft.image_url.unwrap_or_default(),
        draft.active.to_string(),
        row.attributes.to_string(),
        on_hand.map(|pieces| pieces.to_string()).unwrap_or_default(),
    ])
}

fn parse(record: &Record, shop: Currency) -> Result<Line, String> {
    let currency = record.get("currency").map(|_| record.parse("currency", Currency::parse)).transpose()?;
    let active = record.get("active").map(|_| record.parse("active", parse_bool)).transpose()?;
    let attributes =
        record.get("attributes").map(|_| record.parse("attributes", parse_object)).transpose()?;
    let stock = record.get("stock").map(|_| record.whole_number("stock")).transpose()?;
    if stock.is_some_and(|pieces| !(0..=MAX_STOCK).contains(&pieces)) {
        return Err(format!("stock: a whole number from 0 to {MAX_STOCK}"));
    }
    let currency = currency.unwrap_or(shop);
    let draft = Draft {
        sku: record.need("sku")?.to_owned(),
        name: record.need("name")?.to_owned(),
        description: record.get("description").map(str::to_owned),
        category: record.need("category")?.to_owned(),
        price: record.parse("price", |text| Money::parse_decimal(text, currency))?,
        active: active.unwrap_or(true),
        image_url: record.get("image_url").map(str::to_owned),
    };
    let contents = Contents::parse(draft, attributes.clone().unwrap_or_default(), shop)
        .map_err(|refusals| refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    Ok(Line {
        number: record.line,
        sku: contents.details.sku().clone(),
        contents,
        says_active: active.is_some(),
        says_attributes: attributes.is_some(),
        stock,
    })
}

fn parse_bool(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

fn parse_object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("not a JSON object: {error}"))
}
