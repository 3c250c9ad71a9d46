//! The keys that sign access tokens. Exactly one is active; one that was replaced verifies for a while longer.

use kernel::Timestamp;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{Condition, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, IntoActiveModel, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, Set,
};

/// The key that signs. At most one, by a unique index.
pub(crate) const ACTIVE: &str = "active";
/// It verifies until `retires_at_ms`.
const RETIRING: &str = "retiring";
/// Its tokens are refused.
const RETIRED: &str = "retired";
/// More keys than rotation ever leaves; a bound on what is published.
const MAX_PUBLISHED: u64 = 20;
/// How many keys an operator is shown.
const MAX_LISTED: u64 = 100;

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "signing_keys")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub kid: String,
    /// `active`, `retiring` or `retired`.
    pub state: String,
    /// PKCS #8, DER; of the active key only.
    pub private_key: Option<Vec<u8>>,
    /// The 32 bytes of Ed25519.
    pub public_key: Vec<u8>,
    pub created_at_ms: i64,
    /// The longest life that any process has given a token of it, seconds.
    pub longest_life_s: i64,
    /// From then on its tokens are refused; none while it is active.
    pub retires_at_ms: Option<i64>,
}

impl Model {
    /// Its state now: one that has run out is retired, whether that was written down already or not.
    pub(crate) fn state_at(&self, now: Timestamp) -> &str {
        match self.retires_at_ms {
            Some(retires_at_ms) if retires_at_ms <= now.ms() => RETIRED,
            _ => &self.state,
        }
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn active(conn: &impl ConnectionTrait) -> Result<Option<Model>, DbErr> {
    Entity::find().filter(Column::State.eq(ACTIVE)).one(conn).await
}

pub(crate) async fn count_active(conn: &impl ConnectionTrait) -> Result<u64, DbErr> {
    Entity::find().filter(Column::State.eq(ACTIVE)).count(conn).await
}

/// Whether there is any key, active or not.
pub(crate) async fn any(conn: &impl ConnectionTrait) -> Result<bool, DbErr> {
    Ok(Entity::find().count(conn).await? > 0)
}

/// Stores the first key, unless another process was faster; the unique index decides.
pub(crate) async fn insert_if_first(conn: &impl ConnectionTrait, row: Model) -> Result<(), DbErr> {
    Entity::insert(row.into_active_model().reset_all())
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(conn)
        .await
        .map(|_| ())
}

/// Stores the key that signs; there must be no other.
pub(crate) async fn insert(conn: &impl ConnectionTrait, row: Model) -> Result<(), DbErr> {
    Entity::insert(row.into_active_model().reset_all()).exec_without_returning(conn).await.map(|_| ())
}

/// Writes down that a process gives tokens of this key so long a life.
pub(crate) async fn remember_life(conn: &impl ConnectionTrait, kid: &str, life_s: i64) -> Result<(), DbErr> {
    let change = ActiveModel { longest_life_s: Set(life_s), ..Default::default() };
    let query = Entity::update_many().set(change).filter(Column::Kid.eq(kid));
    query.filter(Column::LongestLifeS.lt(life_s)).exec(conn).await.map(|_| ())
}

/// The active key no longer signs, and verifies until an instant. False if it was not active.
pub(crate) async fn retire(conn: &impl ConnectionTrait, kid: &str, until: Timestamp) -> Result<bool, DbErr> {
    let change = ActiveModel {
        state: Set(RETIRING.to_owned()),
        private_key: Set(None),
        retires_at_ms: Set(Some(until.ms())),
        ..Default::default()
    };
    let query = Entity::update_many().set(change).filter(Column::Kid.eq(kid));
    Ok(query.filter(Column::State.eq(ACTIVE)).exec(conn).await?.rows_affected == 1)
}

/// No key that was replaced verifies any more.
pub(crate) async fn retire_all(conn: &impl ConnectionTrait, now: Timestamp) -> Result<(), DbErr> {
    let change = ActiveModel {
        state: Set(RETIRED.to_owned()),
        retires_at_ms: Set(Some(now.ms())),
        ..Default::default()
    };
    Entity::update_many().set(change).filter(Column::State.eq(RETIRING)).exec(conn).await.map(|_| ())
}

/// Writes down which keys have run out. How many.
pub(crate) async fn retire_due(conn: &impl ConnectionTrait, now: Timestamp) -> Result<u64, DbErr> {
    let change = ActiveModel { state: Set(RETIRED.to_owned()), ..Default::default() };
    let query = Entity::update_many().set(change).filter(Column::State.eq(RETIRING));
    Ok(query.filter(Column::RetiresAtMs.lte(now.ms())).exec(conn).await?.rows_affected)
}

fn verifying(now: Timestamp) -> Condition {
    Condition::any()
        .add(Column::State.eq(ACTIVE))
        .add(Condition::all().add(Column::State.eq(RETIRING)).add(Column::RetiresAtMs.gt(now.ms())))
}

pub(crate) async fn count_verifying(conn: &impl ConnectionTrait, now: Timestamp) -> Result<u64, DbErr> {
    Entity::find().filter(verifying(now)).count(conn).await
}

/// Every key whose tokens may still be valid, newest first.
pub(crate) async fn published(conn: &impl ConnectionTrait, now: Timestamp) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(verifying(now))
        .order_by_desc(Column::CreatedAtMs)
        .order_by_asc(Column::Kid)
        .limit(MAX_PUBLISHED)
        .all(conn)
        .await
}

/// The keys that are not retired, as far as is written down.
pub(crate) async fn kept(conn: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::State.ne(RETIRED)).limit(MAX_PUBLISHED).all(conn).await
}

/// The latest keys, retired ones too, newest first.
pub(crate) async fn latest(conn: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .order_by_desc(Column::CreatedAtMs)
        .order_by_asc(Column::Kid)
        .limit(MAX_LISTED)
        .all(conn)
        .await
}
