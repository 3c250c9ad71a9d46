//! The orders, as the doctor compares them with what others know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use contracts::books::{BookError, OrderBook, OrderEntry, Pieces};
use kernel::Timestamp;
use platform::db::Db;
use platform::idempotency;
use platform::word::IsWord;
use sea_orm::{ColumnTrait, Condition, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use uuid::Uuid;

use crate::store::{abandoned_reservations, lines, orders};

/// The book of this database.
pub fn book(db: Db) -> Arc<dyn OrderBook> {
    Arc::new(Book { db })
}

struct Book {
    db: Db,
}

impl Book {
    async fn read(&self, wanted: Select<orders::Entity>) -> Result<Vec<OrderEntry>, BookError> {
        let rows = wanted.filter(orders::Column::Imported.eq(false)).all(self.db.reader()).await?;
        let mut pieces = self.pieces_of(rows.iter().map(|row| row.id)).await?;
        Ok(rows.into_iter().map(|row| entry(pieces.remove(&row.id).unwrap_or_default(), row)).collect())
    }

    async fn pieces_of(&self, ids: impl Iterator<Item = Uuid>) -> Result<BTreeMap<Uuid, Pieces>, DbErr> {
        let wanted = lines::Entity::find().filter(lines::Column::OrderId.is_in(ids));
        let mut pieces: BTreeMap<Uuid, Pieces> = BTreeMap::new();
        for line in wanted.all(self.db.reader()).await? {
            *pieces.entry(line.order_id).or_default().entry(line.sku).or_default() += line.quantity;
        }
        Ok(pieces)
    }
}

#[async_trait]
impl OrderBook for Book {
    async fn page(&self, after: Option<Uuid>, limit: u64) -> Result<Vec<OrderEntry>, BookError> {
        let behind = Condition::all().add_option(after.map(|after| orders::Column::Id.gt(after)));
        self.read(orders::Entity::find().filter(behind).order_by_asc(orders::Column::Id).limit(limit)).await
    }

    async fn find(&self, ids: &[Uuid]) -> Result<Vec<OrderEntry>, BookError> {
        self.read(orders::Entity::find().filter(orders::Column::Id.is_in(ids.iter().copied()))).await
    }

    async fn of_carts(&self, carts: &[Uuid]) -> Result<Vec<OrderEntry>, BookError> {
        self.read(orders::Entity::find().filter(orders::Column::CartId.is_in(carts.iter().copied()))).await
    }

    /// Who ends up with a reservation is asked last: an intent that becomes an order between two of these questions is
    /// found by the later one.
    async fn spoken_of(&self, reservations: &[Uuid]) -> Result<BTreeSet<Uuid>, BookError> {
        let (conn, these) = (self.db.reader(), || reservations.iter().copied());
        let open: Vec<Uuid> = idempotency::Entity::find()
            .select_only()
            .column(idempotency::Column::ResourceId)
            .filter(idempotency::Column::State.is_word(idempotency::OPEN))
            .filter(idempotency::Column::ResourceId.is_in(these()))
            .into_tuple()
            .all(conn)
            .await?;
        let holding: Vec<(Option<Uuid>, Option<Uuid>)> = orders::Entity::find()
            .select_only()
            .column(orders::Column::ReservationId)
            .column(orders::Column::PendingReservationId)
            .filter(
                Condition::any()
                    .add(orders::Column::ReservationId.is_in(these()))
                    .add(orders::Column::PendingReservationId.is_in(these())),
            )
            .into_tuple()
            .all(conn)
            .await?;
        let abandoned: Vec<Uuid> = abandoned_reservations::Entity::find()
            .select_only()
            .column(abandoned_reservations::Column::ReservationId)
            .filter(abandoned_reservations::Column::ReservationId.is_in(these()))
            .into_tuple()
            .all(conn)
            .await?;
        let held = holding.into_iter().flat_map(|(held, pending)| [held, pending]).flatten();
        Ok(open.into_iter().chain(held).chain(abandoned).collect())
    }
}

fn entry(pieces: Pieces, row: orders::Model) -> OrderEntry {
    OrderEntry {
        id: row.id,
        number: row.number,
        user_id: row.user_id,
        cart_id: row.cart_id,
        status: row.status,
        payment_status: row.payment_status,
        payment_id: row.payment_id,
        currency: row.currency,
        total_minor: row.total_minor,
        refunded_minor: row.refunded_minor,
        reservation_id: row.reservation_id,
        pending_reservation_id: row.pending_reservation_id,
        pieces,
        version: row.version,
        changed_at: Timestamp::from_ms(row.updated_at_ms),
    }
}
