//! One row a payment.

use kernel::{Currency, Cursor, CursorError, Limit, Money, OrderId, Page, PaymentId, Timestamp, UserId};
use platform::batch::{Batch, Place};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Select, UpdateMany,
};
use uuid::Uuid;

use crate::domain::balance::Balance;
use crate::domain::status::Status;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payments")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub order_id: Uuid,
    /// Who pays.
    pub user_id: Uuid,
    /// The provider that has the money.
    pub provider: String,
    /// The provider's name of the charge, once there is one.
    pub charge: Option<String>,
    pub status: String,
    pub currency: String,
    pub amount_minor: i64,
    pub authorized_minor: i64,
    pub captured_minor: i64,
    pub refunded_minor: i64,
    pub refund_pending_minor: i64,
    /// The order still has to be told that this payment came to nothing.
    pub release_due: bool,
    /// When the order was cancelled: whatever this payment holds or took goes back.
    pub called_off_at_ms: Option<i64>,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Stored values are valid, because the schema lets nothing else in.
    pub(crate) fn balance(&self) -> Result<Balance, DbErr> {
        Ok(Balance {
            status: Status::parse(&self.status).ok_or_else(|| self.unreadable())?,
            amount_minor: self.amount_minor,
            authorized_minor: self.authorized_minor,
            captured_minor: self.captured_minor,
            refunded_minor: self.refunded_minor,
            refund_pending_minor: self.refund_pending_minor,
        })
    }

    pub(crate) fn currency(&self) -> Result<Currency, DbErr> {
        Currency::parse(&self.currency).map_err(|_| self.unreadable())
    }

    /// An amount in this payment's currency.
    pub(crate) fn money(&self, amount_minor: i64) -> Result<Money, DbErr> {
        Ok(Money::new(amount_minor, self.currency()?))
    }

    fn unreadable(&self) -> DbErr {
        DbErr::Custom(format!("payment {} cannot be read", self.id))
    }
}

/// Whose payments a caller may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    All,
    Of(UserId),
}

impl Scope {
    fn find(self) -> Select<Entity> {
        match self {
            Scope::All => Entity::find(),
            Scope::Of(user_id) => Entity::find().filter(Column::UserId.eq(user_id.uuid())),
        }
    }
}

/// What a list is narrowed to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) order_id: Option<OrderId>,
    pub(crate) status: Option<Status>,
}

pub(crate) async fn find(
    conn: &impl ConnectionTrait,
    scope: Scope,
    id: PaymentId,
) -> Result<Option<Model>, DbErr> {
    scope.find().filter(Column::Id.eq(id.uuid())).one(conn).await
}

/// The row, locked until the transaction ends (SQLite: the whole database is).
pub(crate) async fn find_for_update(
    conn: &impl ConnectionTrait,
    id: PaymentId,
) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.uuid()).lock_exclusive().one(conn).await
}

/// A page, newest first.
pub(crate) async fn page(
    conn: &impl ConnectionTrait,
    scope: Scope,
    filter: Filter,
    limit: Limit,
    cursor: Option<&Cursor>,
) -> Result<Result<Page<Model>, CursorError>, DbErr> {
    let mut query = scope.find().order_by_desc(Column::Id).limit(limit.probe());
    if let Some(order_id) = filter.order_id {
        query = query.filter(Column::OrderId.eq(order_id.uuid()));
    }
    if let Some(status) = filter.status {
        query = query.filter(Column::Status.eq(status.as_str()));
    }
    if let Some(cursor) = cursor {
        let before = cursor.unpack::<1>().and_then(|[id]| Uuid::parse_str(&id).map_err(|_| CursorError));
        match before {
            Ok(before) => query = query.filter(Column::Id.lt(before)),
            Err(error) => return Ok(Err(error)),
        }
    }
    let rows = query.all(conn).await?;
    Ok(Ok(Page::from_probe(rows, limit, |row| Cursor::pack(&[&row.id.to_string()]))))
}

fn is_live() -> sea_orm::Condition {
    let ended = Status::ALL.into_iter().filter(|status| !status.is_live()).map(Status::as_str);
    sea_orm::Condition::all().add(Column::Status.is_not_in(ended))
}

/// The payment that holds, took or is about to take money for an order.
pub(crate) async fn live_of(conn: &impl ConnectionTrait, order_id: OrderId) -> Result<Option<Model>, DbErr> {
    Entity::find().filter(Column::OrderId.eq(order_id.uuid())).filter(is_live()).one(conn).await
}

/// The same, begun no later than that time, locked until the transaction ends.
pub(crate) async fn live_of_for_update(
    conn: &impl ConnectionTrait,
    order_id: OrderId,
    begun_by: Timestamp,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::OrderId.eq(order_id.uuid()))
        .filter(is_live())
        .filter(Column::CreatedAtMs.lte(begun_by.ms()))
        .lock_exclusive()
        .one(conn)
        .await
}

/// A new payment in a batch, which is refused at this place if the order has a live one: the unique index decides, not a look before.
pub(crate) fn insert_in(batch: &mut Batch, row: Model) -> Place {
    let insertion = Entity::insert(row.into_active_model().reset_all())
        .on_conflict(OnConflict::new().do_nothing().to_owned());
    let place = batch.insert(insertion.into_query());
    batch.must(place)
}

/// Sets an amount aside for a refund, if so much is left. False if it is not.
pub(crate) async fn reserve_refund(
    conn: &impl ConnectionTrait,
    id: PaymentId,
    amount_minor: i64,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let set_aside =
        || Expr::col(Column::RefundedMinor).add(Expr::col(Column::RefundPendingMinor)).add(amount_minor);
    let reserved = Entity::update_many()
        .col_expr(Column::RefundPendingMinor, Expr::col(Column::RefundPendingMinor).add(amount_minor))
        .col_expr(Column::UpdatedAtMs, Expr::value(now.ms()))
        .filter(Column::Id.eq(id.uuid()))
        .filter(set_aside().lte(Expr::col(Column::CapturedMinor)))
        .exec(conn)
        .await?;
    Ok(reserved.rows_affected == 1)
}

/// Replaces one balance by the next, if it still is what was read; the new row. The caller has locked the row, so
/// anything else is an error.
pub(crate) async fn replace_balance(
    conn: &impl ConnectionTrait,
    row: &Model,
    before: &Balance,
    after: &Balance,
    charge: Option<&str>,
    now: Timestamp,
) -> Result<Model, DbErr> {
    let update = replacing(row, before, after, charge, now);
    update.exec_with_returning(conn).await?.into_iter().next().ok_or(DbErr::RecordNotUpdated)
}

/// The same in a batch, of a row that is not locked: the batch is refused if the balance is another than what was read, or the order was
/// cancelled. With the row as it will be.
pub(crate) fn replace_balance_in(
    batch: &mut Batch,
    row: &Model,
    before: &Balance,
    after: &Balance,
    charge: Option<&str>,
    now: Timestamp,
) -> (Place, Model) {
    let update = replacing(row, before, after, charge, now).filter(Column::CalledOffAtMs.is_null());
    let place = batch.update(update.into_query());
    batch.must(place);
    let replaced = Model {
        charge: charge.map(str::to_owned).or_else(|| row.charge.clone()),
        status: after.status.as_str().to_owned(),
        authorized_minor: after.authorized_minor,
        captured_minor: after.captured_minor,
        refunded_minor: after.refunded_minor,
        refund_pending_minor: after.refund_pending_minor,
        release_due: after.status == Status::Failed,
        updated_at_ms: now.ms(),
        ..row.clone()
    };
    (place, replaced)
}

fn replacing(
    row: &Model,
    before: &Balance,
    after: &Balance,
    charge: Option<&str>,
    now: Timestamp,
) -> UpdateMany<Entity> {
    let mut update: UpdateMany<Entity> = Entity::update_many()
        .col_expr(Column::Status, Expr::value(after.status.as_str()))
        .col_expr(Column::AuthorizedMinor, Expr::value(after.authorized_minor))
        .col_expr(Column::CapturedMinor, Expr::value(after.captured_minor))
        .col_expr(Column::RefundedMinor, Expr::value(after.refunded_minor))
        .col_expr(Column::RefundPendingMinor, Expr::value(after.refund_pending_minor))
        .col_expr(Column::ReleaseDue, Expr::value(after.status == Status::Failed))
        .col_expr(Column::UpdatedAtMs, Expr::value(now.ms()))
        .filter(Column::Id.eq(row.id))
        .filter(Column::Status.eq(before.status.as_str()))
        .filter(Column::AuthorizedMinor.eq(before.authorized_minor))
        .filter(Column::CapturedMinor.eq(before.captured_minor))
        .filter(Column::RefundedMinor.eq(before.refunded_minor))
        .filter(Column::RefundPendingMinor.eq(before.refund_pending_minor));
    if let Some(charge) = charge {
        update = update.col_expr(Column::Charge, Expr::value(Some(charge.to_owned())));
    }
    update
}

/// The order of this payment was cancelled.
pub(crate) async fn call_off(
    conn: &impl ConnectionTrait,
    id: PaymentId,
    now: Timestamp,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::CalledOffAtMs, Expr::value(Some(now.ms())))
        .filter(Column::Id.eq(id.uuid()))
        .filter(Column::CalledOffAtMs.is_null())
        .exec(conn)
        .await
        .map(|_| ())
}

/// Failed payments whose order has not been told yet.
pub(crate) async fn release_due(conn: &impl ConnectionTrait, limit: u64) -> Result<Vec<Model>, DbErr> {
    due().limit(limit).all(conn).await
}

/// By the index of just these, `payments_release_due`: a parameter for what the column must be would hide from the databases that it serves.
fn due() -> Select<Entity> {
    Entity::find().filter(Expr::col((Entity, Column::ReleaseDue))).order_by_asc(Column::Id)
}

/// The order has been told.
pub(crate) async fn released(conn: &impl ConnectionTrait, id: PaymentId) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::ReleaseDue, Expr::value(false))
        .filter(Column::Id.eq(id.uuid()))
        .exec(conn)
        .await
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use sea_orm::DbBackend;
    use testkit::{Bench, Engine};

    use super::*;

    #[test]
    fn what_waits_to_be_told_is_found_by_the_index_of_just_that() {
        testkit::run(async {
            let bench = Bench::new(Engine::Sqlite).await;
            let db = bench.db("payments").await;
            let mut query = due().limit(64).build(DbBackend::Sqlite);
            query.sql = format!("EXPLAIN QUERY PLAN {}", query.sql);
            let plan = db.reader().query_one_raw(query).await.unwrap().unwrap();
            let way: String = plan.try_get("", "detail").unwrap();
            assert!(way.ends_with("USING INDEX payments_release_due"), "{way}");
            db.close().await.unwrap();
        });
    }
}
