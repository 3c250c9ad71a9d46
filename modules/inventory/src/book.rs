//! The reservations, as the doctor compares them with what others know.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use contracts::books::{BookError, Pieces, ReservationEntry, StockBook};
use kernel::Timestamp;
use platform::db::Db;
use platform::word::IsWord;
use sea_orm::{ColumnTrait, Condition, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use uuid::Uuid;

use crate::domain::reservation::State;
use crate::store::{reservation_lines, reservations, stock};

/// The book of this database.
pub fn book(db: Db) -> Arc<dyn StockBook> {
    Arc::new(Book { db })
}

struct Book {
    db: Db,
}

impl Book {
    async fn read(&self, wanted: Select<reservations::Entity>) -> Result<Vec<ReservationEntry>, BookError> {
        let rows = wanted.all(self.db.reader()).await?;
        let mut pieces = self.pieces_of(rows.iter().map(|row| row.id)).await?;
        Ok(rows.into_iter().map(|row| entry(pieces.remove(&row.id).unwrap_or_default(), row)).collect())
    }

    async fn pieces_of(&self, ids: impl Iterator<Item = Uuid>) -> Result<BTreeMap<Uuid, Pieces>, DbErr> {
        let lines = reservation_lines::Entity::find()
            .find_also_related(stock::Entity)
            .filter(reservation_lines::Column::ReservationId.is_in(ids));
        let mut pieces: BTreeMap<Uuid, Pieces> = BTreeMap::new();
        for (line, stock) in lines.all(self.db.reader()).await? {
            let sku = stock.map_or_else(|| line.stock_id.to_string(), |stock| stock.sku);
            *pieces.entry(line.reservation_id).or_default().entry(sku).or_default() += line.quantity;
        }
        Ok(pieces)
    }
}

#[async_trait]
impl StockBook for Book {
    async fn held(&self, after: Option<Uuid>, limit: u64) -> Result<Vec<ReservationEntry>, BookError> {
        let behind = Condition::all()
            .add(reservations::Column::State.is_word(State::Held.as_str()))
            .add_option(after.map(|after| reservations::Column::Id.gt(after)));
        let held = reservations::Entity::find().filter(behind);
        self.read(held.order_by_asc(reservations::Column::Id).limit(limit)).await
    }

    async fn find(&self, ids: &[Uuid]) -> Result<Vec<ReservationEntry>, BookError> {
        self.read(reservations::Entity::find().filter(reservations::Column::Id.is_in(ids.iter().copied())))
            .await
    }

    async fn of_orders(&self, orders: &[Uuid]) -> Result<Vec<ReservationEntry>, BookError> {
        let of_them = reservations::Column::OrderId.is_in(orders.iter().copied());
        self.read(reservations::Entity::find().filter(of_them)).await
    }
}

fn entry(pieces: Pieces, row: reservations::Model) -> ReservationEntry {
    ReservationEntry {
        id: row.id,
        order_id: row.order_id,
        state: row.state,
        pieces,
        changed_at: Timestamp::from_ms(row.ended_at_ms.unwrap_or(row.created_at_ms)),
    }
}
