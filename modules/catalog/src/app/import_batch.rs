//! Some lines of an import: one transaction, then their opening stock.

use std::collections::{HashMap, HashSet};

use contracts::audit::By;
use contracts::catalog::ProductsImported;
use contracts::inventory::OpeningStock;
use kernel::{Sku, Timestamp};
use platform::db::Tx;
use platform::problem::{Problem, chain, codes};
use uuid::Uuid;

use crate::Context;
use crate::app::change::Changes;
use crate::app::{announce, announce_price, commit};
use crate::domain::slug;
use crate::error::CatalogError;
use crate::product::Contents;
use crate::store::products::{self, Row};

/// A line that keeps the rules. No two of a batch have the same SKU.
pub(crate) struct Line {
    /// Where in the file.
    pub(crate) number: u64,
    pub(crate) sku: Sku,
    /// What a product of this line alone would be.
    pub(crate) contents: Contents,
    /// False: the line leaves that as it is.
    pub(crate) says_active: bool,
    pub(crate) says_attributes: bool,
    /// The opening stock.
    pub(crate) stock: Option<i64>,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    pub(crate) created: u64,
    pub(crate) updated: u64,
    pub(crate) unchanged: u64,
    pub(crate) refused: Vec<(u64, Sku, String)>,
}

/// Power fails before the commit: nothing of the batch is there. Power fails or inventory is silent after it: the
/// products are there without their stock, and importing the file again hands over the stock, because inventory is
/// asked for unchanged products too and only opens what it does not know.
pub(crate) async fn import_batch(
    context: &Context,
    mut batch: Vec<Line>,
    by: By,
) -> Result<Imported, Problem> {
    // Rows are taken in SKU order, so that two imports at once wait for each other and do not deadlock.
    batch.sort_by(|left, right| left.sku.cmp(&right.sku));
    let mut done = Imported::default();
    write(context, &batch, by, &mut done).await?;
    let refused: HashSet<u64> = done.refused.iter().map(|(number, _, _)| *number).collect();
    let opening: Vec<OpeningStock> = batch
        .into_iter()
        .filter(|line| !refused.contains(&line.number))
        .filter_map(|line| Some(OpeningStock { sku: line.sku, on_hand: line.stock? }))
        .collect();
    if !opening.is_empty() {
        context.inventory.open(opening).await.map_err(|error| {
            tracing::warn!(cause = %chain(&error), "an import stopped: inventory does not take its stock");
            Problem::new(
                codes::UNAVAILABLE,
                "Inventory does not answer. The products read so far are in the catalogue, but the opening stock of the last ones is not. \
                 Import the file again once it answers.",
            )
            .retry_after(5)
        })?;
    }
    Ok(done)
}

async fn write(context: &Context, batch: &[Line], by: By, done: &mut Imported) -> Result<(), CatalogError> {
    let mut tx = context.db.begin().await?;
    let now = tx.system().now();
    let skus: Vec<&str> = batch.iter().map(|line| line.sku.as_str()).collect();
    let known: HashMap<String, Row> = products::find_all_for_update(tx.conn(), &skus)
        .await?
        .into_iter()
        .map(|row| (row.sku.clone(), row))
        .collect();
    let mut new = Vec::new();
    for line in batch {
        let Some(row) = known.get(line.sku.as_str()) else {
            new.push(line);
            continue;
        };
        let contents = changes(line).over(row, context.settings.currency)?;
        match row.changed(&contents, now) {
            None => done.unchanged += 1,
            Some(changed) => {
                products::update(tx.conn(), &changed).await?;
                let product = changed.shown()?.product;
                announce(&mut tx, &product).await?;
                announce_price(&mut tx, Some(row.shown()?.product.price), &product, by).await?;
                done.updated += 1;
            }
        }
    }
    create_new(&mut tx, &new, now, by, done).await?;
    commit(context, tx).await?;
    Ok(())
}

/// What a line says about a product that is there.
fn changes(line: &Line) -> Changes {
    let fields = line.contents.details.fields();
    Changes {
        sku: None,
        name: Some(fields.name.clone()),
        description: fields.description.clone().map(Some),
        category: Some(fields.category.clone()),
        price: Some(fields.price),
        active: line.says_active.then_some(fields.active),
        attributes: line.says_attributes.then(|| line.contents.attributes.as_map().clone()),
        image_url: fields.image_url.clone().map(Some),
    }
}

async fn create_new(
    tx: &mut Tx,
    new: &[&Line],
    now: Timestamp,
    by: By,
    done: &mut Imported,
) -> Result<(), CatalogError> {
    let mut rows = with_free_slugs(tx, new, now).await?;
    let all_went_in =
        products::create_all(tx.conn(), &rows.iter().map(|(_, row)| row).collect::<Vec<_>>()).await?;
    if !all_went_in {
        // Someone else took a SKU or a slug since it was looked up; those lines go one by one.
        let ids = rows.iter().map(|(_, row)| row.id).collect();
        let went_in: HashSet<Uuid> = products::existing(tx.conn(), ids).await?.into_iter().collect();
        let (kept, missed): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|(_, row)| went_in.contains(&row.id));
        rows = kept;
        for (line, row) in missed {
            match products::create(tx.conn(), row.id, &line.contents, now).await {
                Ok(row) => rows.push((line, row)),
                Err(CatalogError::SkuTaken(sku)) => {
                    let reason = "someone else created it meanwhile; import the file again".to_owned();
                    done.refused.push((line.number, sku, reason));
                }
                Err(error) => return Err(error),
            }
        }
    }
    for (_, row) in &rows {
        announce(tx, &row.shown()?.product).await?;
    }
    let created = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let skus = || rows.iter().map(|(line, _)| &line.sku);
    if let (Some(first), Some(last)) = (skus().min(), skus().max()) {
        let (first_sku, last_sku) = (first.clone(), last.clone());
        tx.emit(&ProductsImported { batch_id: tx.system().id(), created, first_sku, last_sku, by }).await?;
    }
    done.created += created;
    Ok(())
}

/// New rows, each with its best slug that is free in the shop and in the batch.
async fn with_free_slugs<'a>(
    tx: &Tx,
    new: &[&'a Line],
    now: Timestamp,
) -> Result<Vec<(&'a Line, Row)>, CatalogError> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let named: Vec<(&Line, Uuid, [String; 3])> = new
        .iter()
        .map(|line| {
            let id = tx.system().id();
            (*line, id, slug::candidates(&line.contents.details.fields().name, &line.sku, id))
        })
        .collect();
    let wanted: Vec<String> = named.iter().flat_map(|(_, _, slugs)| slugs.iter().take(2).cloned()).collect();
    let mut taken: HashSet<String> = products::taken_slugs(tx.conn(), &wanted).await?.into_iter().collect();
    let rows = named.into_iter().map(|(line, id, [best, with_sku, with_id])| {
        let slug = [best, with_sku].into_iter().find(|slug| !taken.contains(slug)).unwrap_or(with_id);
        taken.insert(slug.clone());
        (line, Row::new(id, &line.contents, slug, now))
    });
    Ok(rows.collect())
}
