//! Lists products, from memory where the same list was read just now.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use futures_util::StreamExt;
use kernel::{Cursor, Limit};
use platform::db::Db;
use platform::gather::Gather;

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

/// The most lists that are read at the same time; each is a query or two. So they leave some of the database's connections to others.
const AT_ONCE: usize = 2;
const IN_COMPANY: usize = 3;
/// Who is answered together: the page of one of them may keep the others waiting.
const MOST_TOGETHER: usize = 8;

/// What a product in a list takes, about.
const USUAL_BYTES: usize = 800;

/// Pages as they are now. Of those who wait for their turn, all who want the same page get it from one look: so it is when a change has
/// made everybody's pages worthless at once.
pub(crate) struct Pages(Gather<Listing, Option<Bytes>>);

impl Pages {
    pub(crate) fn new(db: &Db) -> Self {
        let of = db.clone();
        Self(Gather::new(db.system(), MOST_TOGETHER, AT_ONCE, move |listings| read_all(of.clone(), listings)))
    }
}

/// The page as JSON.
pub(crate) async fn list(context: &Context, listing: Listing) -> Result<Bytes, CatalogError> {
    let key = PageKey::Products(listing.clone());
    let read = async {
        match context.pages.0.ask(listing.clone()).await.flatten() {
            Some(page) => Ok(page),
            // Looks for itself to hear why.
            None => read_json(&context.db, &listing).await,
        }
    };
    context.cache.page(key, read).await
}

/// The pages in the order in which they were asked for; none for what cannot be read.
async fn read_all(db: Db, listings: Vec<Listing>) -> Vec<Option<Bytes>> {
    let different: HashSet<Listing> = listings.iter().cloned().collect();
    let found: HashMap<Listing, Option<Bytes>> = futures_util::stream::iter(different)
        .map(|listing| read_one(db.clone(), listing))
        .buffer_unordered(IN_COMPANY)
        .collect()
        .await;
    listings.iter().map(|listing| found.get(listing).cloned().flatten()).collect()
}

/// On a thread of its own if there is one, as making JSON of rows is most of the work.
async fn read_one(db: Db, listing: Listing) -> (Listing, Option<Bytes>) {
    let wanted = listing.clone();
    let page = tokio::spawn(async move { read_json(&db, &wanted).await.ok() }).await;
    (listing, page.ok().flatten())
}

async fn read_json(db: &Db, listing: &Listing) -> Result<Bytes, CatalogError> {
    let limit = Limit::parse(listing.limit).map_err(|error| CatalogError::Query(error.to_string()))?;
    let (cursor, offset) = match &listing.place {
        Place::Start => (None, 0),
        Place::After(cursor) => (Some(Cursor::from_client(cursor)), 0),
        Place::Page(page) => (None, offset(*page, limit)?),
    };
    let conn = db.reader();
    let rows = products::page(conn, &listing.filter, listing.sort, limit, cursor.as_ref(), offset).await?;
    let pagination = match listing.place {
        Place::Page(page) => {
            let total = products::count(conn, &listing.filter, rows.by_index).await?;
            Some(Pagination { page, limit: limit.get(), total, pages: total.div_ceil(limit.get()) })
        }
        Place::Start | Place::After(_) => None,
    };
    let page = rows.page(listing.sort, limit)?;
    let page = ProductPage { items: page.items, next_cursor: page.next_cursor, pagination };
    let mut json = Vec::with_capacity(rows.len().saturating_mul(USUAL_BYTES));
    serde_json::to_writer(&mut json, &page)?;
    json.shrink_to_fit();
    Ok(Bytes::from(json))
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
