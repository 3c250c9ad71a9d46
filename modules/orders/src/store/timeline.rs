//! What happened to each order: only ever added to.

use contracts::orders::OrderStatus;
use kernel::{OrderId, Timestamp, UserId};
use platform::batch::Batch;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter, Json,
    PrimaryKeyTrait,
};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Set};
use uuid::Uuid;

use crate::store::ENTRIES_OF_ONE_INSERT;

/// The most entries that are shown of one order: its first ones. Only an admin who cancels and reactivates an order
/// hundreds of times comes near.
const MOST_SHOWN: u64 = 1_000;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "order_timeline")]
pub(crate) struct Model {
    /// Counts up; within one order in the order of commits, because each transaction has locked or changed the order's row.
    #[sea_orm(primary_key)]
    pub seq: i64,
    pub order_id: Uuid,
    pub kind: String,
    pub at_ms: i64,
    pub actor_id: Option<Uuid>,
    pub from_status: Option<String>,
    pub to_status: Option<String>,
    #[sea_orm(column_type = "JsonBinary")]
    pub data: Option<Json>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// An entry that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) order_id: OrderId,
    pub(crate) kind: &'static str,
    pub(crate) at: Timestamp,
    pub(crate) actor_id: Option<UserId>,
    pub(crate) change: Option<(OrderStatus, OrderStatus)>,
    pub(crate) data: Option<Json>,
}

impl Entry {
    /// Something that happened by itself, or that the shop did.
    pub(crate) fn new(order_id: OrderId, kind: &'static str, at: Timestamp) -> Self {
        Self { order_id, kind, at, actor_id: None, change: None, data: None }
    }
}

pub(crate) async fn append(conn: &impl ConnectionTrait, entries: Vec<Entry>) -> Result<(), DbErr> {
    let mut rows = entries.into_iter().map(row).peekable();
    while rows.peek().is_some() {
        let some: Vec<ActiveModel> = rows.by_ref().take(ENTRIES_OF_ONE_INSERT).collect();
        Entity::insert_many(some).exec_without_returning(conn).await?;
    }
    Ok(())
}

/// Appends one entry in a batch.
pub(crate) fn append_in(batch: &mut Batch, entry: Entry) {
    append_all_in(batch, [entry]);
}

/// Appends a few in a batch, in this order.
pub(crate) fn append_all_in(batch: &mut Batch, entries: impl IntoIterator<Item = Entry>) {
    batch.insert(Entity::insert_many(entries.into_iter().map(row)).into_query());
}

fn row(entry: Entry) -> ActiveModel {
    ActiveModel {
        order_id: Set(entry.order_id.uuid()),
        kind: Set(entry.kind.to_owned()),
        at_ms: Set(entry.at.ms()),
        actor_id: Set(entry.actor_id.map(UserId::uuid)),
        from_status: Set(entry.change.map(|(from, _)| from.as_str().to_owned())),
        to_status: Set(entry.change.map(|(_, to)| to.as_str().to_owned())),
        data: Set(entry.data),
        ..Default::default()
    }
}

/// The entries of an order, oldest first.
pub(crate) async fn of(conn: &impl ConnectionTrait, order_id: OrderId) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::OrderId.eq(order_id.uuid()))
        .order_by_asc(Column::Seq)
        .limit(MOST_SHOWN)
        .all(conn)
        .await
}
