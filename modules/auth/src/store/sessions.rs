//! Sessions: one row a login, with the hash of the one refresh token that continues it.

use contracts::auth::SessionEnded;
use contracts::users::Role;
use kernel::{Cursor, CursorError, Limit, Page, SessionId, Timestamp, UserId};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{CaseStatement, Expr, ExprTrait, Query};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DbErr, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect,
};
use uuid::Uuid;

use crate::store::credentials;

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    /// What its latest access token says.
    pub role: String,
    pub created_at_ms: i64,
    pub refreshed_at_ms: i64,
    /// The instant as of which its latest access token is true (`iat_ms`).
    pub access_as_of_ms: i64,
    /// From then on none of its access tokens can be valid.
    pub tokens_expire_at_ms: i64,
    /// SHA-256 of the refresh token.
    pub refresh_hash: Vec<u8>,
    pub refresh_expires_at_ms: i64,
    pub ended_at_ms: Option<i64>,
    /// `logout`, `reuse` or `access_changed`.
    pub end_reason: Option<String>,
    /// What the client called itself when it logged in.
    pub user_agent: Option<String>,
    /// Where it logged in from.
    pub client_address: Option<String>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("user_id", &self.user_id)
            .finish_non_exhaustive()
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Why a session ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The user ended it, from itself or from another session.
    Logout,
    /// A spent refresh token came again: someone has a copy.
    Reuse,
    /// The role changed, or the account was switched off.
    AccessChanged,
}

impl EndReason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            EndReason::Logout => "logout",
            EndReason::Reuse => "reuse",
            EndReason::AccessChanged => "access_changed",
        }
    }
}

/// What the session's next pair of tokens is.
pub(crate) struct Rotation {
    pub(crate) role: Role,
    pub(crate) access_as_of: Timestamp,
    pub(crate) tokens_expire_at: Timestamp,
    pub(crate) refresh_hash: Vec<u8>,
    pub(crate) refresh_expires_at: Timestamp,
}

impl Model {
    pub(crate) fn can_be_refreshed(&self, now: Timestamp) -> bool {
        self.ended_at_ms.is_none() && self.refresh_expires_at_ms > now.ms()
    }

    /// The fact that it ended, for the modules that verify tokens.
    pub(crate) fn ended(&self) -> SessionEnded {
        SessionEnded {
            session_id: SessionId(self.id),
            user_id: UserId(self.user_id),
            tokens_expire_at: Timestamp::from_ms(self.tokens_expire_at_ms),
        }
    }
}

pub(crate) async fn insert(conn: &impl ConnectionTrait, row: Model) -> Result<(), DbErr> {
    Entity::insert(row.into_active_model().reset_all()).exec_without_returning(conn).await.map(|_| ())
}

/// The session that a refresh token continues, ended or not. Knowing the token is owning the session.
pub(crate) async fn find_by_refresh(
    conn: &impl ConnectionTrait,
    hash: &[u8],
) -> Result<Option<Model>, DbErr> {
    Entity::find().filter(Column::RefreshHash.eq(hash.to_vec())).one(conn).await
}

/// The later of what is stored and what is new.
fn later(column: Column, new: Timestamp) -> CaseStatement {
    let stored = Expr::col((Entity, column));
    CaseStatement::new().case(stored.clone().lt(new.ms()), new.ms()).finally(stored)
}

/// Replaces the refresh token, if it is still the current one of a living session. Of several at once, one succeeds. Answers
/// to repetitions may have given out younger access tokens than this one; they stay remembered.
pub(crate) async fn rotate(
    conn: &impl ConnectionTrait,
    current_hash: &[u8],
    next: Rotation,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let changed = Entity::update_many()
        .col_expr(Column::Role, Expr::value(next.role.as_str()))
        .col_expr(Column::RefreshedAtMs, Expr::value(now.ms()))
        .col_expr(Column::AccessAsOfMs, later(Column::AccessAsOfMs, next.access_as_of).into())
        .col_expr(Column::TokensExpireAtMs, later(Column::TokensExpireAtMs, next.tokens_expire_at).into())
        .col_expr(Column::RefreshHash, Expr::value(next.refresh_hash))
        .col_expr(Column::RefreshExpiresAtMs, Expr::value(next.refresh_expires_at.ms()))
        .filter(Column::RefreshHash.eq(current_hash.to_vec()))
        .filter(Column::EndedAtMs.is_null())
        .filter(Column::RefreshExpiresAtMs.gt(now.ms()))
        .exec(conn)
        .await?;
    Ok(changed.rows_affected == 1)
}

/// One more access token for a session whose current refresh token is this one and which still has this role; false if that
/// no longer holds.
pub(crate) async fn give_again(
    conn: &impl ConnectionTrait,
    current_hash: &[u8],
    role: Role,
    access_as_of: Timestamp,
    tokens_expire_at: Timestamp,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let changed = Entity::update_many()
        .col_expr(Column::AccessAsOfMs, later(Column::AccessAsOfMs, access_as_of).into())
        .col_expr(Column::TokensExpireAtMs, later(Column::TokensExpireAtMs, tokens_expire_at).into())
        .filter(Column::RefreshHash.eq(current_hash.to_vec()))
        .filter(Column::Role.eq(role.as_str()))
        .filter(Column::EndedAtMs.is_null())
        .filter(Column::RefreshExpiresAtMs.gt(now.ms()))
        .exec(conn)
        .await?;
    Ok(changed.rows_affected == 1)
}

/// A page of the living sessions of a user, newest first.
pub(crate) async fn page_of(
    conn: &impl ConnectionTrait,
    user_id: UserId,
    limit: Limit,
    cursor: Option<&Cursor>,
    now: Timestamp,
) -> Result<Result<Page<Model>, CursorError>, DbErr> {
    let mut query = Entity::find()
        .filter(Column::UserId.eq(user_id.uuid()))
        .filter(Column::EndedAtMs.is_null())
        .filter(Column::RefreshExpiresAtMs.gt(now.ms()))
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

/// Ends a living session of a user; the row, or `None` if there is nothing to end.
pub(crate) async fn end(
    conn: &impl ConnectionTrait,
    user_id: UserId,
    id: SessionId,
    reason: EndReason,
    now: Timestamp,
) -> Result<Option<Model>, DbErr> {
    let of_the_user = Condition::all().add(Column::UserId.eq(user_id.uuid())).add(Column::Id.eq(id.uuid()));
    Ok(end_where(conn, of_the_user, reason, now).await?.into_iter().next())
}

/// Ends the living sessions of a user whose tokens say what no longer holds: those from before the change, and those
/// that were opened while it was being committed and still carry another role. The rows.
pub(crate) async fn end_outdated(
    conn: &impl ConnectionTrait,
    user_id: UserId,
    changed_at: Timestamp,
    still_allowed: Option<Role>,
    now: Timestamp,
) -> Result<Vec<Model>, DbErr> {
    let mut outdated = Condition::all().add(Column::UserId.eq(user_id.uuid()));
    if let Some(role) = still_allowed {
        outdated = outdated.add(
            Condition::any()
                .add(Column::AccessAsOfMs.lte(changed_at.ms()))
                .add(Column::Role.ne(role.as_str())),
        );
    }
    end_where(conn, outdated, EndReason::AccessChanged, now).await
}

async fn end_where(
    conn: &impl ConnectionTrait,
    which: Condition,
    reason: EndReason,
    now: Timestamp,
) -> Result<Vec<Model>, DbErr> {
    Entity::update_many()
        .col_expr(Column::EndedAtMs, Expr::value(Some(now.ms())))
        .col_expr(Column::EndReason, Expr::value(Some(reason.as_str())))
        .filter(which)
        .filter(Column::EndedAtMs.is_null())
        .exec_with_returning(conn)
        .await
}

/// Sessions that ended while their access tokens were, and still are, within their time.
pub(crate) async fn revoked(conn: &impl ConnectionTrait, now: Timestamp) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::EndedAtMs.is_not_null())
        .filter(Column::TokensExpireAtMs.gt(now.ms()))
        .order_by_asc(Column::TokensExpireAtMs)
        .all(conn)
        .await
}

/// Sessions without a credential.
pub(crate) async fn orphans(conn: &impl ConnectionTrait, limit: u64) -> Result<Vec<Model>, DbErr> {
    let known = Query::select().column(credentials::Column::UserId).from(credentials::Entity).to_owned();
    Entity::find()
        .filter(Column::UserId.not_in_subquery(known))
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(conn)
        .await
}

/// Deletes sessions, at most `batch`, that nobody can refresh and whose access tokens have expired. Their spent refresh
/// tokens go with them. How many went.
pub(crate) async fn purge(conn: &impl ConnectionTrait, now: Timestamp, batch: u64) -> Result<u64, DbErr> {
    let over = Condition::any()
        .add(Column::EndedAtMs.is_not_null())
        .add(Condition::all().add(Column::EndedAtMs.is_null()).add(Column::RefreshExpiresAtMs.lte(now.ms())));
    let some = Query::select()
        .column(Column::Id)
        .from(Entity)
        .cond_where(over)
        .and_where(Column::TokensExpireAtMs.lte(now.ms()))
        .limit(batch)
        .to_owned();
    Ok(Entity::delete_many().filter(Column::Id.in_subquery(some)).exec(conn).await?.rows_affected)
}
