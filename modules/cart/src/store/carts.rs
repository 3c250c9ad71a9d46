//! One row a cart; see `migrations` for what the schema itself refuses.

use kernel::{CartId, OrderId, Timestamp, UserId};
use platform::batch::{Batch, Place};
use platform::cells::Cells;
use platform::word::IsWord;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait, Related, RelationDef, RelationTrait,
};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, IntoActiveModel, QueryFilter, QueryOrder,
    QueryResult, QuerySelect, QueryTrait, Select, UpdateMany,
};
use uuid::Uuid;

use crate::store::cart_lines;

/// The states of a cart. `ordered` and `merged` are final.
pub(crate) const OPEN: &str = "open";
pub(crate) const ORDERED: &str = "ordered";
pub(crate) const MERGED: &str = "merged";

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "carts")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The customer; none for a guest's cart.
    pub user_id: Option<Uuid>,
    /// SHA-256 of the guest's token; none for a customer's cart.
    pub token_hash: Option<String>,
    /// `open`, `ordered` or `merged`.
    pub state: String,
    pub version: i64,
    pub order_id: Option<Uuid>,
    pub merged_into: Option<Uuid>,
    pub created_at_ms: i64,
    /// The last change.
    pub touched_at_ms: i64,
    pub closed_at_ms: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {
    #[sea_orm(has_many = "cart_lines::Entity")]
    Lines,
}

impl Related<cart_lines::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Lines.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn is_open(&self) -> bool {
        self.state == OPEN
    }
}

/// Whether a row is only read, or locked until the transaction ends (SQLite: the whole database is).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    Reading,
    Update,
}

async fn one(
    conn: &impl ConnectionTrait,
    query: Select<Entity>,
    purpose: For,
) -> Result<Option<Model>, DbErr> {
    match purpose {
        For::Reading => query.one(conn).await,
        For::Update => query.lock_exclusive().one(conn).await,
    }
}

/// The open cart of a customer.
pub(crate) async fn open_of(
    conn: &impl ConnectionTrait,
    customer: UserId,
    purpose: For,
) -> Result<Option<Model>, DbErr> {
    let query = Entity::find().filter(Column::UserId.eq(customer.uuid())).filter(Column::State.is_word(OPEN));
    one(conn, query, purpose).await
}

/// The open cart of a customer with its lines, in one query.
pub(crate) async fn open_with_lines(
    conn: &impl ConnectionTrait,
    customer: UserId,
) -> Result<Option<(Model, Vec<cart_lines::Model>)>, DbErr> {
    let query = Entity::find()
        .left_join(cart_lines::Entity)
        .column(cart_lines::Column::Sku)
        .column(cart_lines::Column::Quantity)
        .column(cart_lines::Column::AddedAtMs)
        .filter(Column::UserId.eq(customer.uuid()))
        .filter(Column::State.is_word(OPEN));
    let rows = conn.query_all(&query.into_query()).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let row = read(first)?;
    let lines = rows.iter().filter_map(|line| line_beside(line, row.id).transpose());
    let lines = lines.collect::<Result<_, _>>()?;
    Ok(Some((row, lines)))
}

/// The columns in the order in which [`Model`] has them, as sea-orm asks for them.
fn read(row: &QueryResult) -> Result<Model, DbErr> {
    let cells = Cells::of(row)?;
    Ok(Model {
        id: cells.get(0)?,
        user_id: cells.get(1)?,
        token_hash: cells.get(2)?,
        state: cells.get(3)?,
        version: cells.get(4)?,
        order_id: cells.get(5)?,
        merged_into: cells.get(6)?,
        created_at_ms: cells.get(7)?,
        touched_at_ms: cells.get(8)?,
        closed_at_ms: cells.get(9)?,
    })
}

/// The line in the three columns after those; none in an empty cart.
fn line_beside(row: &QueryResult, cart_id: Uuid) -> Result<Option<cart_lines::Model>, DbErr> {
    let cells = Cells::of(row)?;
    let Some(sku) = cells.get(10)? else { return Ok(None) };
    Ok(Some(cart_lines::Model { cart_id, sku, quantity: cells.get(11)?, added_at_ms: cells.get(12)? }))
}

/// The cart of a guest's token, open or merged.
pub(crate) async fn of_token(
    conn: &impl ConnectionTrait,
    token_hash: &str,
    purpose: For,
) -> Result<Option<Model>, DbErr> {
    one(conn, Entity::find().filter(Column::TokenHash.eq(token_hash)), purpose).await
}

/// A cart by its id, for work on behalf of the shop.
pub(crate) async fn find(
    conn: &impl ConnectionTrait,
    id: CartId,
    purpose: For,
) -> Result<Option<Model>, DbErr> {
    one(conn, Entity::find_by_id(id.uuid()), purpose).await
}

/// The greatest version that any cart of this customer has had; 0 if there was none.
pub(crate) async fn last_version_of(conn: &impl ConnectionTrait, customer: UserId) -> Result<i64, DbErr> {
    let last = Entity::find()
        .filter(Column::UserId.eq(customer.uuid()))
        .order_by_desc(Column::Version)
        .limit(1)
        .one(conn)
        .await?;
    Ok(last.map_or(0, |row| row.version))
}

/// Writes a new cart. False if its owner has got one since.
pub(crate) async fn create(conn: &impl ConnectionTrait, row: Model) -> Result<bool, DbErr> {
    // No conflict target: either the customer's open cart or the guest's token may be in the way.
    let inserted = Entity::insert(row.into_active_model().reset_all())
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(conn)
        .await?;
    Ok(inserted > 0)
}

/// Counts a change of an open cart. False if it is closed or has another version.
pub(crate) async fn bump(
    conn: &impl ConnectionTrait,
    id: Uuid,
    version: i64,
    now: Timestamp,
) -> Result<bool, DbErr> {
    Ok(bumping(id, version, now).exec(conn).await?.rows_affected == 1)
}

/// The same in a batch, which is refused instead.
pub(crate) fn bump_in(batch: &mut Batch, id: Uuid, version: i64, now: Timestamp) -> Place {
    let place = batch.update(bumping(id, version, now).into_query());
    batch.gate(place)
}

fn bumping(id: Uuid, version: i64, now: Timestamp) -> UpdateMany<Entity> {
    Entity::update_many()
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .col_expr(Column::TouchedAtMs, Expr::value(now.ms()))
        .filter(Column::Id.eq(id))
        .filter(Column::Version.eq(version))
        .filter(Column::State.is_word(OPEN))
}

/// How a cart ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Ordered(OrderId),
    MergedInto(Uuid),
}

/// Ends an open cart. False if it is not open.
pub(crate) async fn close(
    conn: &impl ConnectionTrait,
    id: Uuid,
    end: End,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let update = match end {
        End::Ordered(order_id) => Entity::update_many()
            .col_expr(Column::State, Expr::value(ORDERED))
            .col_expr(Column::OrderId, Expr::value(Some(order_id.uuid()))),
        End::MergedInto(target) => Entity::update_many()
            .col_expr(Column::State, Expr::value(MERGED))
            .col_expr(Column::MergedInto, Expr::value(Some(target))),
    };
    let closed = update
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .col_expr(Column::TouchedAtMs, Expr::value(now.ms()))
        .col_expr(Column::ClosedAtMs, Expr::value(Some(now.ms())))
        .filter(Column::Id.eq(id))
        .filter(Column::State.is_word(OPEN))
        .exec(conn)
        .await?;
    Ok(closed.rows_affected == 1)
}

/// Deletes at most `limit` guests' carts, with their lines, that were last changed before `before`. The condition is
/// said twice: a guest may come back between the choice of a row and its end.
pub(crate) async fn delete_idle_guests(
    conn: &impl ConnectionTrait,
    before: Timestamp,
    limit: u64,
) -> Result<u64, DbErr> {
    let before_ms = before.ms();
    let idle = format!("user_id IS NULL AND state = 'open' AND touched_at_ms < {before_ms}");
    let sql =
        format!("DELETE FROM carts WHERE {idle} AND id IN (SELECT id FROM carts WHERE {idle} LIMIT {limit})");
    Ok(conn.execute_unprepared(&sql).await?.rows_affected())
}

/// Deletes at most `limit` carts that were closed before `before` and that no checkout still speaks of.
pub(crate) async fn delete_closed(
    conn: &impl ConnectionTrait,
    before: Timestamp,
    limit: u64,
) -> Result<u64, DbErr> {
    let sql = format!(
        "DELETE FROM carts WHERE id IN (
            SELECT id FROM carts WHERE closed_at_ms < {before_ms}
            AND NOT EXISTS (SELECT 1 FROM checkouts WHERE checkouts.cart_id = carts.id) LIMIT {limit})",
        before_ms = before.ms(),
    );
    Ok(conn.execute_unprepared(&sql).await?.rows_affected())
}
