//! How much there is of some SKUs.

use kernel::Sku;
use platform::db::Db;
use platform::gather::Gather;
use sea_orm::{ConnAcquireErr, DbErr};

use crate::store::stock;

/// Lists of SKUs that are read in one query.
const MOST_LISTS: usize = 16;
/// A longer list is a query of its own.
const LONGEST: usize = 16;
const QUERIES_AT_ONCE: usize = 2;

type Answer = Result<Vec<stock::Model>, DbErr>;

/// What there is: those who ask at the same time share a query.
pub(crate) struct Levels {
    db: Db,
    together: Gather<Vec<Sku>, Answer>,
}

impl Levels {
    pub(crate) fn new(db: &Db) -> Self {
        let of = db.clone();
        let together = Gather::new(db.system(), MOST_LISTS, QUERIES_AT_ONCE, move |lists| {
            let db = of.clone();
            async move { read_all(&db, lists).await }
        });
        Self { db: db.clone(), together }
    }

    /// In SKU order, without those SKUs that nobody has stocked. No SKU at all asks whether the database answers.
    pub(crate) async fn of(&self, skus: &[Sku]) -> Answer {
        if skus.is_empty() || skus.len() > LONGEST {
            return stock::find_all(self.db.reader(), skus).await;
        }
        let ended = || Err(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed));
        self.together.ask(skus.to_vec()).await.unwrap_or_else(ended)
    }
}

async fn read_all(db: &Db, lists: Vec<Vec<Sku>>) -> Vec<Answer> {
    let mut all: Vec<Sku> = lists.iter().flatten().cloned().collect();
    all.sort_unstable();
    all.dedup();
    let found = stock::find_all(db.reader(), &all).await;
    let of_list = |skus: &Vec<Sku>| {
        let rows = found.as_ref().map_err(DbErr::clone)?;
        Ok(rows.iter().filter(|row| skus.iter().any(|sku| sku.as_str() == row.sku)).cloned().collect())
    };
    lists.iter().map(of_list).collect()
}
