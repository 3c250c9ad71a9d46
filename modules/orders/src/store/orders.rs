//! One row an order.

use contracts::orders::{Order, OrderStatus, PaymentStatus};
use contracts::users::Actor;
use kernel::{
    CartId, Currency, Cursor, CursorError, Limit, Money, OrderId, Page, PaymentId, ReservationId, Timestamp,
    UserId,
};
use platform::batch::{Batch, Place};
use platform::cells::Cells;
use platform::word::IsWord;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter, Json,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DbErr, IntoActiveModel, QueryFilter,
    QueryOrder, QueryResult, QuerySelect, QueryTrait, Select, UpdateMany,
};
use uuid::Uuid;

use crate::domain::payment::PaymentState;
use crate::store::{ORDERS_OF_ONE_INSERT, lines};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "orders")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// What people call it; unique.
    pub number: String,
    /// Who bought; none for imported orders.
    pub user_id: Option<Uuid>,
    /// What an imported file calls the customer.
    pub customer_ref: Option<String>,
    pub status: String,
    pub payment_status: String,
    /// The payment that holds the order; none while it is unpaid.
    pub payment_id: Option<Uuid>,
    /// Set while the payment is in progress.
    pub payment_begun_at_ms: Option<i64>,
    /// A pending order that is unpaid by then is cancelled; none for imported orders.
    pub payment_due_at_ms: Option<i64>,
    pub total_minor: i64,
    pub refunded_minor: i64,
    pub currency: String,
    #[sea_orm(column_type = "JsonBinary")]
    pub shipping_address: Option<Json>,
    pub country: Option<String>,
    pub cart_id: Option<Uuid>,
    /// The stock it holds; none once it has left or was given back.
    pub reservation_id: Option<Uuid>,
    /// The stock that a reactivation is taking just now.
    pub pending_reservation_id: Option<Uuid>,
    pub reactivating_since_ms: Option<i64>,
    pub imported: bool,
    /// Counts changes.
    pub version: i64,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn order_id(&self) -> OrderId {
        OrderId(self.id)
    }

    pub(crate) fn status(&self) -> Result<OrderStatus, DbErr> {
        OrderStatus::parse(&self.status).ok_or_else(|| self.unreadable("status"))
    }

    pub(crate) fn total(&self) -> Result<Money, DbErr> {
        Ok(Money::new(self.total_minor, self.currency()?))
    }

    pub(crate) fn currency(&self) -> Result<Currency, DbErr> {
        Currency::parse(&self.currency).map_err(|_| self.unreadable("currency"))
    }

    pub(crate) fn payment(&self) -> Result<PaymentState, DbErr> {
        Ok(PaymentState {
            status: PaymentStatus::parse(&self.payment_status)
                .ok_or_else(|| self.unreadable("payment status"))?,
            payment_id: self.payment_id.map(PaymentId),
            refunded_minor: self.refunded_minor,
        })
    }

    /// Takes over what is known of the payment.
    pub(crate) fn set_payment(&mut self, payment: PaymentState, now: Timestamp) {
        let was_in_progress = self.payment_begun_at_ms;
        self.payment_begun_at_ms = (payment.status == PaymentStatus::InProgress)
            .then(|| was_in_progress.unwrap_or_else(|| now.ms()));
        self.payment_status = payment.status.as_str().to_owned();
        self.payment_id = payment.payment_id.map(PaymentId::uuid);
        self.refunded_minor = payment.refunded_minor;
    }

    /// The published form, with its own lines.
    pub(crate) fn order(&self, lines: &[lines::Model]) -> Result<Order, DbErr> {
        let currency = self.currency()?;
        let shipping_address = self
            .shipping_address
            .clone()
            .map(serde_json::from_value)
            .transpose()
            .map_err(|_| self.unreadable("shipping address"))?;
        Ok(Order {
            id: self.order_id(),
            number: self.number.clone(),
            user_id: self.user_id.map(UserId),
            status: self.status()?,
            items: lines.iter().map(|line| line.item(currency)).collect::<Result<_, _>>()?,
            total: self.total()?,
            shipping_address,
            payment_status: self.payment()?.status,
            imported: self.imported,
            created_at: Timestamp::from_ms(self.created_at_ms),
            updated_at: Timestamp::from_ms(self.updated_at_ms),
        })
    }

    fn unreadable(&self, what: &str) -> DbErr {
        DbErr::Custom(format!("order {}: its {what} cannot be read", self.id))
    }
}

/// Which orders of a list are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OrderFilter {
    /// Only those of this customer: for callers who may see no other.
    pub(crate) owner: Option<UserId>,
    pub(crate) status: Option<OrderStatus>,
    /// Placed then or later.
    pub(crate) from: Option<Timestamp>,
    /// Placed before then.
    pub(crate) to: Option<Timestamp>,
}

/// The orders that an actor may see: an admin all, a customer their own.
fn visible_to(actor: Actor) -> Condition {
    let own = (!actor.is_admin()).then(|| Column::UserId.eq(actor.user_id.uuid()));
    Condition::all().add_option(own)
}

/// The order, if the actor may see it.
pub(crate) async fn find(
    conn: &impl ConnectionTrait,
    id: OrderId,
    actor: Actor,
) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.uuid()).filter(visible_to(actor)).one(conn).await
}

/// The same row, locked until the transaction ends (SQLite: the whole database is).
pub(crate) async fn find_for_update(
    conn: &impl ConnectionTrait,
    id: OrderId,
    actor: Actor,
) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.uuid()).filter(visible_to(actor)).lock_exclusive().one(conn).await
}

/// The row for the shop itself: for workers and event handlers, never on behalf of a caller.
pub(crate) async fn find_for_shop(conn: &impl ConnectionTrait, id: OrderId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.uuid()).one(conn).await
}

/// The same row, locked until the transaction ends (SQLite: the whole database is).
pub(crate) async fn lock_for_shop(conn: &impl ConnectionTrait, id: OrderId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.uuid()).lock_exclusive().one(conn).await
}

/// Whether a cart has become an order.
pub(crate) async fn cart_is_ordered(conn: &impl ConnectionTrait, cart_id: CartId) -> Result<bool, DbErr> {
    let found: Option<Uuid> = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::CartId.eq(cart_id.uuid()))
        .into_tuple()
        .one(conn)
        .await?;
    Ok(found.is_some())
}

/// A page, newest first. The owner's filter is part of the query: a page is never thinned out afterwards.
pub(crate) async fn page(
    conn: &impl ConnectionTrait,
    filter: OrderFilter,
    limit: Limit,
    cursor: Option<&Cursor>,
) -> Result<Result<Page<Model>, CursorError>, DbErr> {
    let mut query = Entity::find()
        .filter(
            Condition::all()
                .add_option(filter.owner.map(|owner| Column::UserId.eq(owner.uuid())))
                .add_option(filter.status.map(|status| Column::Status.eq(status.as_str())))
                .add_option(filter.from.map(|from| Column::CreatedAtMs.gte(from.ms())))
                .add_option(filter.to.map(|to| Column::CreatedAtMs.lt(to.ms()))),
        )
        .order_by_desc(Column::CreatedAtMs)
        .order_by_desc(Column::Id)
        .limit(limit.probe());
    if let Some(cursor) = cursor {
        match last_seen(cursor) {
            Ok((at_ms, id)) => {
                let before = Condition::any()
                    .add(Column::CreatedAtMs.lt(at_ms))
                    .add(Condition::all().add(Column::CreatedAtMs.eq(at_ms)).add(Column::Id.lt(id)));
                // The first filter repeats the second so that an index range can serve it.
                query = query.filter(Column::CreatedAtMs.lte(at_ms)).filter(before);
            }
            Err(error) => return Ok(Err(error)),
        }
    }
    let rows = read_all(conn, query).await?;
    let key = |row: &Model| Cursor::pack(&[&row.created_at_ms.to_string(), &row.id.to_string()]);
    Ok(Ok(Page::from_probe(rows, limit, key)))
}

/// Reads whole rows by the places of their columns: a page has hundreds of them.
async fn read_all(conn: &impl ConnectionTrait, query: Select<Entity>) -> Result<Vec<Model>, DbErr> {
    let rows = conn.query_all(&query.into_query()).await?;
    rows.iter().map(read).collect()
}

/// The columns in the order in which [`Model`] has them, as sea-orm asks for them.
fn read(row: &QueryResult) -> Result<Model, DbErr> {
    let cells = Cells::of(row)?;
    Ok(Model {
        id: cells.get(0)?,
        number: cells.get(1)?,
        user_id: cells.get(2)?,
        customer_ref: cells.get(3)?,
        status: cells.get(4)?,
        payment_status: cells.get(5)?,
        payment_id: cells.get(6)?,
        payment_begun_at_ms: cells.get(7)?,
        payment_due_at_ms: cells.get(8)?,
        total_minor: cells.get(9)?,
        refunded_minor: cells.get(10)?,
        currency: cells.get(11)?,
        shipping_address: cells.get(12)?,
        country: cells.get(13)?,
        cart_id: cells.get(14)?,
        reservation_id: cells.get(15)?,
        pending_reservation_id: cells.get(16)?,
        reactivating_since_ms: cells.get(17)?,
        imported: cells.get(18)?,
        version: cells.get(19)?,
        created_at_ms: cells.get(20)?,
        updated_at_ms: cells.get(21)?,
    })
}

fn last_seen(cursor: &Cursor) -> Result<(i64, Uuid), CursorError> {
    let [at_ms, id] = cursor.unpack::<2>()?;
    Ok((at_ms.parse().map_err(|_| CursorError)?, Uuid::parse_str(&id).map_err(|_| CursorError)?))
}

/// Orders after one, oldest first, for exports.
pub(crate) async fn after(
    conn: &impl ConnectionTrait,
    seen: Option<(i64, Uuid)>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut query = Entity::find().order_by_asc(Column::CreatedAtMs).order_by_asc(Column::Id).limit(limit);
    if let Some((at_ms, id)) = seen {
        let after = Condition::any()
            .add(Column::CreatedAtMs.gt(at_ms))
            .add(Condition::all().add(Column::CreatedAtMs.eq(at_ms)).add(Column::Id.gt(id)));
        query = query.filter(Column::CreatedAtMs.gte(at_ms)).filter(after);
    }
    query.all(conn).await
}

/// Writes a new order in a batch, which is refused if its cart has become another order. Two at once are decided by the unique
/// constraint, and the second waits for what becomes of the first.
pub(crate) fn insert_in(batch: &mut Batch, row: Model) -> Place {
    let unless_ordered = OnConflict::column(Column::CartId).do_nothing().to_owned();
    let insertion = Entity::insert(row.into_active_model().reset_all()).on_conflict(unless_ordered);
    let place = batch.insert(insertion.into_query());
    batch.must(place)
}

/// Writes imported orders; returns how many of their numbers were free.
pub(crate) async fn insert_imported(conn: &impl ConnectionTrait, rows: Vec<Model>) -> Result<u64, DbErr> {
    let mut rows = rows.into_iter().map(|row| row.into_active_model().reset_all()).peekable();
    let mut inserted = 0;
    while rows.peek().is_some() {
        let some: Vec<ActiveModel> = rows.by_ref().take(ORDERS_OF_ONE_INSERT).collect();
        inserted += Entity::insert_many(some)
            .on_conflict(OnConflict::column(Column::Number).do_nothing().to_owned())
            .exec_without_returning(conn)
            .await?;
    }
    Ok(inserted)
}

/// Replaces a row by its next state, if nobody has changed it since it was read. `None` if somebody has.
pub(crate) async fn save(
    conn: &impl ConnectionTrait,
    before: &Model,
    after: Model,
    now: Timestamp,
) -> Result<Option<Model>, DbErr> {
    let after = next(before, after, now);
    let updated = saving(before, &after).exec(conn).await?;
    Ok((updated.rows_affected == 1).then_some(after))
}

/// The same in a batch, of a row that is not locked. With the row as it will be; what it means that somebody has changed it is the caller's.
pub(crate) fn save_in(batch: &mut Batch, before: &Model, after: Model, now: Timestamp) -> (Place, Model) {
    save_if_in(batch, before, after, now, Condition::all())
}

/// The same if something more holds.
pub(crate) fn save_if_in(
    batch: &mut Batch,
    before: &Model,
    after: Model,
    now: Timestamp,
    holds: Condition,
) -> (Place, Model) {
    let after = next(before, after, now);
    let place = batch.update(saving(before, &after).filter(holds).into_query());
    (place, after)
}

/// Counts a change that the row does not show, for those who have read it without a lock and decide by more than the row.
pub(crate) async fn count_change(conn: &impl ConnectionTrait, order_id: OrderId) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .filter(Column::Id.eq(order_id.uuid()))
        .exec(conn)
        .await
        .map(|_| ())
}

fn next(before: &Model, after: Model, now: Timestamp) -> Model {
    Model { version: before.version + 1, updated_at_ms: now.ms(), ..after }
}

fn saving(before: &Model, after: &Model) -> UpdateMany<Entity> {
    Entity::update_many()
        .col_expr(Column::CustomerRef, Expr::value(after.customer_ref.clone()))
        .col_expr(Column::Status, Expr::value(after.status.clone()))
        .col_expr(Column::PaymentStatus, Expr::value(after.payment_status.clone()))
        .col_expr(Column::PaymentId, Expr::value(after.payment_id))
        .col_expr(Column::PaymentBegunAtMs, Expr::value(after.payment_begun_at_ms))
        .col_expr(Column::PaymentDueAtMs, Expr::value(after.payment_due_at_ms))
        .col_expr(Column::TotalMinor, Expr::value(after.total_minor))
        .col_expr(Column::RefundedMinor, Expr::value(after.refunded_minor))
        .col_expr(Column::ShippingAddress, Expr::value(after.shipping_address.clone()))
        .col_expr(Column::Country, Expr::value(after.country.clone()))
        .col_expr(Column::ReservationId, Expr::value(after.reservation_id))
        .col_expr(Column::PendingReservationId, Expr::value(after.pending_reservation_id))
        .col_expr(Column::ReactivatingSinceMs, Expr::value(after.reactivating_since_ms))
        .col_expr(Column::CreatedAtMs, Expr::value(after.created_at_ms))
        .col_expr(Column::UpdatedAtMs, Expr::value(after.updated_at_ms))
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .filter(Column::Id.eq(before.id))
        .filter(Column::Version.eq(before.version))
        .filter(Column::Status.eq(&before.status))
}

/// Some orders by number.
pub(crate) async fn by_numbers(conn: &impl ConnectionTrait, numbers: &[String]) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::Number.is_in(numbers)).all(conn).await
}

/// Pending orders whose payment window has passed, the longest overdue first.
pub(crate) async fn overdue(
    conn: &impl ConnectionTrait,
    now: Timestamp,
    limit: u64,
) -> Result<Vec<OrderId>, DbErr> {
    let overdue = Entity::find()
        .filter(Column::Status.is_word("pending"))
        .filter(Column::PaymentStatus.is_word("unpaid"))
        .filter(Column::PaymentDueAtMs.lte(now.ms()))
        .order_by_asc(Column::PaymentDueAtMs);
    ids(conn, overdue, limit).await
}

/// Orders whose reactivation began before an instant and has not ended, the oldest first.
pub(crate) async fn reactivating_since(
    conn: &impl ConnectionTrait,
    before: Timestamp,
    limit: u64,
) -> Result<Vec<(OrderId, ReservationId)>, DbErr> {
    let rows: Vec<(Uuid, Uuid)> = Entity::find()
        .select_only()
        .column(Column::Id)
        .column(Column::PendingReservationId)
        .filter(Expr::cust("reactivating_since_ms IS NOT NULL"))
        .filter(Column::ReactivatingSinceMs.lte(before.ms()))
        .order_by_asc(Column::ReactivatingSinceMs)
        .limit(limit)
        .into_tuple()
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(|(order, reservation)| (OrderId(order), ReservationId(reservation))).collect())
}

/// A reactivation is still at work now. Nothing happens if it has ended. No change of the order: its version stays.
pub(crate) async fn go_on_reactivating(
    conn: &impl ConnectionTrait,
    order_id: OrderId,
    reservation_id: ReservationId,
    now: Timestamp,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::ReactivatingSinceMs, Expr::value(now.ms()))
        .filter(Column::Id.eq(order_id.uuid()))
        .filter(Column::PendingReservationId.eq(reservation_id.uuid()))
        .exec(conn)
        .await
        .map(|_| ())
}

/// Orders whose payment began before an instant and has not ended, the oldest first.
pub(crate) async fn being_paid_since(
    conn: &impl ConnectionTrait,
    before: Timestamp,
    limit: u64,
) -> Result<Vec<OrderId>, DbErr> {
    let stuck = Entity::find()
        .filter(Column::PaymentStatus.is_word("in_progress"))
        .filter(Column::PaymentBegunAtMs.lte(before.ms()))
        .order_by_asc(Column::PaymentBegunAtMs);
    ids(conn, stuck, limit).await
}

async fn ids(conn: &impl ConnectionTrait, query: Select<Entity>, limit: u64) -> Result<Vec<OrderId>, DbErr> {
    let ids: Vec<Uuid> = query.select_only().column(Column::Id).limit(limit).into_tuple().all(conn).await?;
    Ok(ids.into_iter().map(OrderId).collect())
}
