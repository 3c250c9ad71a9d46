//! API keys: one row a key, with the hash of its secret. A living one holds one of its owner's numbered slots, so that the
//! unique index bounds them.

use std::collections::HashSet;

use contracts::auth::ApiKeyUse;
use contracts::scopes::Scope;
use contracts::users::Role;
use kernel::{ApiKeyId, Cursor, CursorError, Limit, Page, Timestamp, UserId};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{OnConflict, Query};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DbErr, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, Set,
};
use uuid::Uuid;

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_keys")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    pub slot: i64,
    pub name: String,
    /// With a space between two.
    pub scopes: String,
    /// SHA-256 of the secret.
    pub secret_hash: Vec<u8>,
    pub created_at_ms: i64,
    pub expires_at_ms: i64,
    /// To the minute.
    pub last_used_at_ms: Option<i64>,
    pub revoked_at_ms: Option<i64>,
    /// The role of the owner when it was made.
    pub made_as: String,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.id).field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// A scope that an older or newer release wrote, and this one does not know, grants nothing.
    pub(crate) fn scopes(&self) -> Vec<Scope> {
        self.scopes.split(' ').filter_map(|scope| scope.parse().ok()).collect()
    }

    /// What it can do at most of what its owner can: the key of a customer does not become one of an admin with them.
    pub(crate) fn role_for(&self, owner: Role) -> Role {
        match (self.made_as.as_str(), owner) {
            ("admin", Role::Admin) => Role::Admin,
            _ => Role::Customer,
        }
    }

    pub(crate) fn is_valid_at(&self, now: Timestamp) -> bool {
        self.revoked_at_ms.is_none() && self.expires_at_ms > now.ms()
    }
}

/// The slots that a user's living keys hold.
pub(crate) async fn slots_of(conn: &impl ConnectionTrait, owner: UserId) -> Result<HashSet<i64>, DbErr> {
    let held = Entity::find().select_only().column(Column::Slot).filter(living_of(owner));
    Ok(held.into_tuple().all(conn).await?.into_iter().collect())
}

/// Stores a key. False if another one holds its slot.
pub(crate) async fn insert(conn: &impl ConnectionTrait, row: Model) -> Result<bool, DbErr> {
    let stored = Entity::insert(row.into_active_model().reset_all())
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(conn)
        .await?;
    Ok(stored > 0)
}

/// The key of this id, whatever became of it. For whoever is shown its secret.
pub(crate) async fn find(conn: &impl ConnectionTrait, id: ApiKeyId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.uuid()).one(conn).await
}

fn living_of(owner: UserId) -> Condition {
    Condition::all().add(Column::UserId.eq(owner.uuid())).add(Column::RevokedAtMs.is_null())
}

/// A user's keys that were not revoked, oldest first.
pub(crate) async fn page_of(
    conn: &impl ConnectionTrait,
    owner: UserId,
    limit: Limit,
    cursor: Option<&Cursor>,
) -> Result<Result<Page<Model>, CursorError>, DbErr> {
    let mut query = Entity::find().filter(living_of(owner));
    if let Some(cursor) = cursor {
        let after = cursor.unpack::<1>().and_then(|[id]| Uuid::parse_str(&id).map_err(|_| CursorError));
        match after {
            Ok(after) => query = query.filter(Column::Id.gt(after)),
            Err(error) => return Ok(Err(error)),
        }
    }
    let rows = query.order_by_asc(Column::Id).limit(limit.probe()).all(conn).await?;
    Ok(Ok(Page::from_probe(rows, limit, |row| Cursor::pack(&[&row.id.to_string()]))))
}

/// Revokes a key of this user, or of anyone. What it was; `None` if there is no living one.
pub(crate) async fn revoke(
    conn: &impl ConnectionTrait,
    id: ApiKeyId,
    owner: Option<UserId>,
    now: Timestamp,
) -> Result<Option<Model>, DbErr> {
    let mut living = Condition::all().add(Column::Id.eq(id.uuid())).add(Column::RevokedAtMs.is_null());
    if let Some(owner) = owner {
        living = living.add(Column::UserId.eq(owner.uuid()));
    }
    let change = ActiveModel { revoked_at_ms: Set(Some(now.ms())), ..Default::default() };
    let revoked = Entity::update_many().set(change).filter(living).exec(conn).await?.rows_affected;
    if revoked == 0 { Ok(None) } else { find(conn, id).await }
}

/// Remembers a use, unless a later one, or one of the same minute, is known.
pub(crate) async fn note_use(conn: &impl ConnectionTrait, used: ApiKeyUse) -> Result<(), DbErr> {
    let earlier =
        Condition::any().add(Column::LastUsedAtMs.is_null()).add(Column::LastUsedAtMs.lt(used.at.ms()));
    let change = ActiveModel { last_used_at_ms: Set(Some(used.at.ms())), ..Default::default() };
    let query = Entity::update_many().set(change).filter(Column::Id.eq(used.id.uuid()));
    query.filter(earlier).exec(conn).await.map(|_| ())
}

/// Deletes keys that ended before an instant, at most `batch`. How many went.
pub(crate) async fn purge(
    conn: &impl ConnectionTrait,
    ended_before: Timestamp,
    batch: u64,
) -> Result<u64, DbErr> {
    let ended = Condition::any()
        .add(Column::RevokedAtMs.lte(ended_before.ms()))
        .add(Column::ExpiresAtMs.lte(ended_before.ms()));
    let some = Query::select().column(Column::Id).from(Entity).cond_where(ended).limit(batch).to_owned();
    Ok(Entity::delete_many().filter(Column::Id.in_subquery(some)).exec(conn).await?.rows_affected)
}
