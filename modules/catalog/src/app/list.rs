//! Lists products, from memory where the same list was read just now.

use bytes::Bytes;
use kernel::{Cursor, Limit};

use crate::Context;
use crate::cache::PageKey;
use crate::domain::sort::Sort;
use crate::error::CatalogError;
use crate::product::{Pagination, ProductPage};
use crate::store::products::{self, Filter};

/// The deepest row that a numbered page may reach. Skipping rows costs as much as reading them; cursors have no such
/// bound.
pub(crate) const MAX_DEPTH: u64 = 10_000;

/// Where in a list a page begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Start,
    /// After the last product of another page.
    After(String),
    /// Counted from 1.
    Page(u64),
}

/// One page of one list: everything that the answer depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Listing {
    pub(crate) filter: Filter,
    pub(crate) sort: Sort,
    /// 1 to 100.
    pub(crate) limit: u64,
    pub(crate) place: Place,
}

/// The page as JSON.
pub(crate) async fn list(context: &Context, listing: Listing) -> Result<Bytes, CatalogError> {
    let key = PageKey::Products(listing.clone());
    context
        .cache
        .page(key, async { Ok(Bytes::from(serde_json::to_vec(&read(context, &listing).await?)?)) })
        .await
}

async fn read(context: &Context, listing: &Listing) -> Result<ProductPage, CatalogError> {
    let limit = Limit::parse(listing.limit).map_err(|error| CatalogError::Query(error.to_string()))?;
    let (cursor, offset) = match &listing.place {
        Place::Start => (None, 0),
        Place::After(cursor) => (Some(Cursor::from_client(cursor)), 0),
        Place::Page(page) => (None, offset(*page, limit)?),
    };
    let conn = context.db.reader();
    let rows = products::page(conn, &listing.filter, listing.sort, limit, cursor.as_ref(), offset).await?;
    let pagination = match listing.place {
        Place::Page(page) => {
            let total = products::count(conn, &listing.filter).await?;
            Some(Pagination { page, limit: limit.get(), total, pages: total.div_ceil(limit.get()) })
        }
        Place::Start | Place::After(_) => None,
    };
    let items = rows
        .items
        .into_iter()
        .map(|row| row.into_shown().map(|shown| shown.product))
        .collect::<Result<_, _>>()?;
    Ok(ProductPage { items, next_cursor: rows.next_cursor, pagination })
}

/// How many rows lie before a page.
fn offset(page: u64, limit: Limit) -> Result<u64, CatalogError> {
    match page.checked_mul(limit.get()) {
        Some(end) if page > 0 && end <= MAX_DEPTH => Ok(end - limit.get()),
        _ => Err(CatalogError::Query(format!(
            "page: counts from 1, and page times limit is at most {MAX_DEPTH}; go deeper with `cursor`"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_pages_have_a_bound() {
        let limit = Limit::parse(100).unwrap();
        assert_eq!(offset(1, limit).unwrap(), 0);
        assert_eq!(offset(100, limit).unwrap(), 9_900);
        for bad in [0, 101, u64::MAX] {
            assert!(offset(bad, limit).is_err(), "{bad}");
        }
    }
}
