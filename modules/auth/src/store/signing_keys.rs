//! The keys that sign access tokens. Exactly one is active; retired ones still verify.

use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, IntoActiveModel, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect,
};

/// The key that signs. At most one, by a unique index.
pub(crate) const ACTIVE: &str = "active";
/// More keys than rotation ever leaves; a bound on what is published.
const MAX_PUBLISHED: u64 = 20;

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "signing_keys")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub kid: String,
    /// `active` or `retired`.
    pub state: String,
    /// PKCS #8, DER.
    pub private_key: Vec<u8>,
    /// The 32 bytes of Ed25519.
    pub public_key: Vec<u8>,
    pub created_at_ms: i64,
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

/// Every key whose tokens may still be valid, newest first.
pub(crate) async fn published(conn: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .order_by_desc(Column::CreatedAtMs)
        .order_by_asc(Column::Kid)
        .limit(MAX_PUBLISHED)
        .all(conn)
        .await
}
