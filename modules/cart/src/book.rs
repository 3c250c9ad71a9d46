//! The carts, as the doctor compares them with what others know.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::books::{BookError, CartBook, CartEntry};
use kernel::Timestamp;
use platform::db::Db;
use platform::word::IsWord;
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select,
};
use uuid::Uuid;

use crate::store::{carts, checkouts};

/// The book of this database.
pub fn book(db: Db) -> Arc<dyn CartBook> {
    Arc::new(Book { db })
}

struct Book {
    db: Db,
}

impl Book {
    async fn read(&self, wanted: Select<carts::Entity>) -> Result<Vec<CartEntry>, BookError> {
        Ok(wanted.all(self.db.reader()).await?.into_iter().map(entry).collect())
    }
}

#[async_trait]
impl CartBook for Book {
    async fn ordered(&self, after: Option<Uuid>, limit: u64) -> Result<Vec<CartEntry>, BookError> {
        let ordered = carts::Entity::find().filter(carts::Column::State.eq(carts::ORDERED));
        self.read(ordered.filter(behind(after)).order_by_asc(carts::Column::Id).limit(limit)).await
    }

    async fn checked_out(&self, after: Option<Uuid>, limit: u64) -> Result<Vec<CartEntry>, BookError> {
        let tried = checkouts::Entity::find()
            .select_only()
            .column(checkouts::Column::CartId)
            .filter(checkouts::Column::Outcome.eq(checkouts::UNKNOWN))
            .into_query();
        let open = carts::Entity::find()
            .filter(carts::Column::State.is_word(carts::OPEN))
            .filter(carts::Column::Id.in_subquery(tried));
        self.read(open.filter(behind(after)).order_by_asc(carts::Column::Id).limit(limit)).await
    }

    async fn find(&self, ids: &[Uuid]) -> Result<Vec<CartEntry>, BookError> {
        self.read(carts::Entity::find().filter(carts::Column::Id.is_in(ids.iter().copied()))).await
    }
}

fn behind(after: Option<Uuid>) -> Condition {
    Condition::all().add_option(after.map(|after| carts::Column::Id.gt(after)))
}

fn entry(row: carts::Model) -> CartEntry {
    CartEntry {
        id: row.id,
        state: row.state,
        order_id: row.order_id,
        changed_at: Timestamp::from_ms(row.touched_at_ms),
    }
}
