//! The payments, as the doctor compares them with what others know.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use contracts::books::{BookError, PaymentBook, PaymentEntry};
use kernel::Timestamp;
use platform::db::Db;
use platform::word::IsWord;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use uuid::Uuid;

use crate::store::{attempts, intents, payments};

/// The book of this database.
pub fn book(db: Db) -> Arc<dyn PaymentBook> {
    Arc::new(Book { db })
}

struct Book {
    db: Db,
}

impl Book {
    async fn read(&self, wanted: Select<payments::Entity>) -> Result<Vec<PaymentEntry>, BookError> {
        let rows = wanted.all(self.db.reader()).await?;
        let moving: Vec<Uuid> = attempts::Entity::find()
            .select_only()
            .column(attempts::Column::PaymentId)
            .filter(attempts::Column::State.is_word(attempts::OPEN))
            .filter(attempts::Column::PaymentId.is_in(rows.iter().map(|row| row.id)))
            .into_tuple()
            .all(self.db.reader())
            .await?;
        Ok(rows.into_iter().map(|row| entry(moving.contains(&row.id) || row.release_due, row)).collect())
    }
}

#[async_trait]
impl PaymentBook for Book {
    async fn page(&self, after: Option<Uuid>, limit: u64) -> Result<Vec<PaymentEntry>, BookError> {
        let behind = Condition::all().add_option(after.map(|after| payments::Column::Id.gt(after)));
        let page = payments::Entity::find().filter(behind);
        self.read(page.order_by_asc(payments::Column::Id).limit(limit)).await
    }

    async fn find(&self, ids: &[Uuid]) -> Result<Vec<PaymentEntry>, BookError> {
        self.read(payments::Entity::find().filter(payments::Column::Id.is_in(ids.iter().copied()))).await
    }

    async fn of_orders(&self, orders: &[Uuid]) -> Result<Vec<PaymentEntry>, BookError> {
        let of_them = payments::Column::OrderId.is_in(orders.iter().copied());
        self.read(payments::Entity::find().filter(of_them)).await
    }

    async fn intended(&self, ids: &[Uuid]) -> Result<BTreeSet<Uuid>, BookError> {
        let found: Vec<Uuid> = intents::Entity::find()
            .select_only()
            .column(intents::Column::Id)
            .filter(intents::Column::Id.is_in(ids.iter().copied()))
            .into_tuple()
            .all(self.db.reader())
            .await?;
        Ok(found.into_iter().collect())
    }
}

fn entry(is_moving: bool, row: payments::Model) -> PaymentEntry {
    PaymentEntry {
        id: row.id,
        order_id: row.order_id,
        user_id: row.user_id,
        status: row.status,
        currency: row.currency,
        amount_minor: row.amount_minor,
        captured_minor: row.captured_minor,
        refunded_minor: row.refunded_minor,
        is_moving,
        changed_at: Timestamp::from_ms(row.updated_at_ms),
    }
}
