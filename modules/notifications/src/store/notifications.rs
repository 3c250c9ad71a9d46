//! Messages to users.

use kernel::{Cursor, CursorError, Limit, Page, Timestamp, UserId};
use platform::batch::Batch;
use platform::key_list::padded;
use platform::word::IsWord;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait,
};
use uuid::Uuid;

pub(crate) const QUEUED: &str = "queued";
pub(crate) const SENT: &str = "sent";
pub(crate) const FAILED: &str = "failed";

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "notifications")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    pub channel: String,
    pub template: String,
    pub recipient: String,
    pub subject: String,
    pub body: String,
    pub status: String,
    pub attempts: i64,
    /// Not before; also the lease of a sender that is at work.
    pub next_attempt_at_ms: i64,
    pub last_error: Option<String>,
    pub created_at_ms: i64,
    pub sent_at_ms: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) fn insert_in(batch: &mut Batch, row: Model) {
    batch.insert(Entity::insert(row.into_active_model().reset_all()).into_query());
}

/// A page of one user's notifications, newest first.
pub(crate) async fn page_of(
    conn: &impl ConnectionTrait,
    user_id: UserId,
    limit: Limit,
    cursor: Option<&Cursor>,
) -> Result<Result<Page<Model>, CursorError>, DbErr> {
    let mut query = Entity::find()
        .filter(Column::UserId.eq(user_id.uuid()))
        .order_by_desc(Column::Id)
        .limit(limit.probe());
    if let Some(cursor) = cursor {
        match cursor.unpack::<1>().and_then(|[id]| Uuid::parse_str(&id).map_err(|_| CursorError)) {
            Ok(before) => query = query.filter(Column::Id.lt(before)),
            Err(error) => return Ok(Err(error)),
        }
    }
    let rows = query.all(conn).await?;
    Ok(Ok(Page::from_probe(rows, limit, |row| Cursor::pack(&[&row.id.to_string()]))))
}

/// What waits to be sent, the longest waiting first.
pub(crate) async fn due(
    conn: &impl ConnectionTrait,
    now: Timestamp,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Status.is_word(QUEUED))
        .filter(Column::NextAttemptAtMs.lte(now.ms()))
        .order_by_asc(Column::NextAttemptAtMs)
        .limit(limit)
        .all(conn)
        .await
}

/// Takes those of some that are still due until `lease_until`, for one sender, with this attempt counted. Others may have been faster.
pub(crate) async fn claim(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = Uuid>,
    now: Timestamp,
    lease_until: Timestamp,
) -> Result<Vec<Model>, DbErr> {
    Entity::update_many()
        .col_expr(Column::NextAttemptAtMs, Expr::value(lease_until.ms()))
        .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
        .filter(Column::Id.is_in(padded(ids)))
        .filter(Column::Status.is_word(QUEUED))
        .filter(Column::NextAttemptAtMs.lte(now.ms()))
        .exec_with_returning(conn)
        .await
}

/// Keeps those that were taken. Nothing happens to one that was sent, or that waits for longer by somebody else's decision.
pub(crate) async fn renew(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = Uuid>,
    lease_until: Timestamp,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::NextAttemptAtMs, Expr::value(lease_until.ms()))
        .filter(Column::Id.is_in(padded(ids)))
        .filter(Column::Status.is_word(QUEUED))
        .filter(Column::NextAttemptAtMs.lt(lease_until.ms()))
        .exec(conn)
        .await
        .map(|_| ())
}

pub(crate) async fn mark_sent(
    conn: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = Uuid>,
    at: Timestamp,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Status, Expr::value(SENT))
        .col_expr(Column::SentAtMs, Expr::value(Some(at.ms())))
        .filter(Column::Id.is_in(padded(ids)))
        .filter(Column::Status.is_word(QUEUED))
        .exec(conn)
        .await
        .map(|_| ())
}

/// Notes a failure; the message waits for its next attempt, or has failed for good.
pub(crate) async fn mark_failure(
    conn: &impl ConnectionTrait,
    id: Uuid,
    error: String,
    next_attempt_at: Option<Timestamp>,
) -> Result<(), DbErr> {
    let status = if next_attempt_at.is_some() { QUEUED } else { FAILED };
    let mut update = Entity::update_many()
        .col_expr(Column::Status, Expr::value(status))
        .col_expr(Column::LastError, Expr::value(Some(error)))
        .filter(Column::Id.eq(id))
        .filter(Column::Status.is_word(QUEUED));
    if let Some(at) = next_attempt_at {
        update = update.col_expr(Column::NextAttemptAtMs, Expr::value(at.ms()));
    }
    update.exec(conn).await.map(|_| ())
}

/// Deletes the text of a letter that no longer waits.
pub(crate) async fn withhold_body(conn: &impl ConnectionTrait, id: Uuid) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Body, Expr::value(""))
        .filter(Column::Id.eq(id))
        .filter(Column::Status.ne(QUEUED))
        .exec(conn)
        .await
        .map(|_| ())
}

/// Queued before an instant and still not sent.
pub(crate) async fn waiting_since(
    conn: &impl ConnectionTrait,
    before: Timestamp,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Status.is_word(QUEUED))
        .filter(Column::CreatedAtMs.lt(before.ms()))
        .limit(limit)
        .all(conn)
        .await
}
