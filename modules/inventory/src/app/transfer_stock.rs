//! Stock as CSV, in and out.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::audit::By;
use futures_util::{StreamExt, TryStreamExt};
use kernel::{Cursor, Limit, Sku};
use platform::csv::{ImportSummary, Record, Records, Rows, Source, Transfer};
use platform::problem::Problem;

use crate::Context;
use crate::app::set_level::{Effect, SetLevel, set_level_in};
use crate::error::InventoryError;
use crate::store::stock;

/// Records that share one transaction.
const BATCH: usize = 500;

pub(crate) struct TransferStock {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl Transfer for TransferStock {
    fn resource(&self) -> &'static str {
        "inventory"
    }

    fn columns(&self) -> &'static [&'static str] {
        &["sku", "on_hand", "low_stock_threshold"]
    }

    async fn import(
        &self,
        source: Source<'_>,
        by: By,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<ImportSummary, Problem> {
        let mut records = Records::open(source, &["sku", "on_hand"]).await?;
        let mut summary = ImportSummary::default();
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let record = records.next().await?;
            let ended = record.is_none();
            match record.map(|record| {
                (record.line, record.get("sku").unwrap_or_default().to_owned(), parse(&record, by))
            }) {
                Some((line, _, Ok(request))) => batch.push((line, request)),
                Some((line, sku, Err(reason))) => summary.refuse(line, sku, reason),
                None => {}
            }
            if batch.len() >= BATCH || ended {
                self.set_all(std::mem::take(&mut batch), &mut summary).await?;
                progress(records.rows_read);
            }
            if ended {
                summary.rows_read = records.rows_read;
                summary.refusals.sort_by_key(|refusal| refusal.line);
                return Ok(summary);
            }
        }
    }

    fn export(&self) -> Rows {
        let context = self.context.clone();
        let first: Option<Option<Cursor>> = Some(None);
        futures_util::stream::try_unfold(first, move |at| {
            let context = context.clone();
            async move {
                let Some(cursor) = at else {
                    return Ok::<_, Problem>(None);
                };
                let limit = Limit::parse(Limit::MAX).unwrap_or_default();
                let page = stock::page(context.db.reader(), None, limit, cursor.as_ref()).await??;
                let rows: Vec<Result<Vec<String>, Problem>> = page
                    .items
                    .into_iter()
                    .map(|row| {
                        Ok(vec![row.sku, row.on_hand.to_string(), row.low_stock_threshold.to_string()])
                    })
                    .collect();
                Ok(Some((futures_util::stream::iter(rows), page.next_cursor.map(Some))))
            }
        })
        .try_flatten()
        .boxed()
    }
}

impl TransferStock {
    async fn set_all(
        &self,
        mut batch: Vec<(u64, SetLevel)>,
        summary: &mut ImportSummary,
    ) -> Result<(), Problem> {
        // Rows are taken in SKU order, as by reservations, so that neither deadlocks the other. The sort is stable: of
        // two lines with one SKU the later one still holds.
        batch.sort_by(|(_, left), (_, right)| left.sku.cmp(&right.sku));
        let mut tx = self.context.db.begin().await?;
        for (line, request) in batch {
            match set_level_in(&self.context, &mut tx, &request).await {
                Ok((_, Effect::Created)) => summary.created += 1,
                Ok((_, Effect::Updated)) => summary.updated += 1,
                Ok((_, Effect::Unchanged)) => summary.unchanged += 1,
                Err(InventoryError::Adjust(refusal)) => {
                    summary.refuse(line, request.sku.as_str(), refusal.to_string())
                }
                Err(other) => return Err(other.into()),
            }
        }
        tx.commit().await?;
        Ok(())
    }
}

fn parse(record: &Record, by: By) -> Result<SetLevel, String> {
    Ok(SetLevel {
        sku: record.parse("sku", Sku::parse)?,
        on_hand: record.whole_number("on_hand")?,
        low_stock_threshold: record
            .get("low_stock_threshold")
            .map(|_| record.whole_number("low_stock_threshold"))
            .transpose()?,
        by,
        expected_version: None,
    })
}
