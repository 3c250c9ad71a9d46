//! Lists the categories of what is on sale.

use bytes::Bytes;

use crate::Context;
use crate::cache::PageKey;
use crate::error::CatalogError;
use crate::product::{Category, CategoryList};
use crate::store::products;

/// The most categories that are listed.
const MAX_CATEGORIES: u64 = 1_000;

/// The list as JSON.
pub(crate) async fn categories(context: &Context) -> Result<Bytes, CatalogError> {
    context
        .cache
        .page(PageKey::Categories, async { Ok(Bytes::from(serde_json::to_vec(&read(context).await?)?)) })
        .await
}

async fn read(context: &Context) -> Result<CategoryList, CatalogError> {
    let counted = products::categories(context.db.reader(), MAX_CATEGORIES).await?;
    let mut categories: Vec<Category> =
        counted.into_iter().map(|row| Category { name: row.name, products: row.products }).collect();
    // PostgreSQL may sort by the rules of a language, SQLite does by bytes: here both give the same.
    categories.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(CategoryList { categories })
}
