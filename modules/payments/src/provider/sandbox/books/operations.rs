//! What the bank was told to do, once for a key, and what it said.

use kernel::{Currency, Money};
use platform::batch::Batch;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, Insert, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait,
};
use uuid::Uuid;

use crate::domain::movement::Movement;
use crate::provider::{StatementLine, Verdict};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sandbox_operations")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub provider_key: String,
    /// A movement, or `abandon`.
    pub kind: String,
    pub charge_id: Option<Uuid>,
    pub amount_minor: i64,
    pub currency: String,
    /// Why it was not done.
    pub refusal: Option<String>,
    pub at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn verdict(&self) -> Verdict {
        match (&self.refusal, self.charge_id) {
            (None, Some(charge_id)) => Verdict::Done { charge: charge_id.to_string() },
            (refusal, _) => Verdict::Refused { code: refusal.clone().unwrap_or_default() },
        }
    }

    /// For the statement; `None` for what moved nothing.
    pub(crate) fn line(&self) -> Option<StatementLine> {
        let movement = Movement::parse(&self.kind).filter(|_| self.refusal.is_none())?;
        let amount = Money::new(self.amount_minor, Currency::parse(&self.currency).ok()?);
        Some(StatementLine { key: self.provider_key.clone(), movement, amount })
    }
}

pub(crate) async fn find(conn: &impl ConnectionTrait, key: &str) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(key).one(conn).await
}

/// False if the key is known.
pub(crate) async fn insert(conn: &impl ConnectionTrait, row: Model) -> Result<bool, DbErr> {
    Ok(unless_known(row).exec_without_returning(conn).await? > 0)
}

/// The same in a batch, which is refused if the key is taken.
pub(crate) fn insert_in(batch: &mut Batch, row: Model) {
    let place = batch.insert(unless_known(row).into_query());
    batch.must(place);
}

fn unless_known(row: Model) -> Insert<ActiveModel> {
    let known = OnConflict::column(Column::ProviderKey).do_nothing().to_owned();
    Entity::insert(row.into_active_model().reset_all()).on_conflict(known)
}

pub(crate) async fn refuse(conn: &impl ConnectionTrait, key: &str, refusal: &str) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Refusal, Expr::value(Some(refusal.to_owned())))
        .filter(Column::ProviderKey.eq(key))
        .exec(conn)
        .await
        .map(|_| ())
}

pub(crate) async fn done_after(
    conn: &impl ConnectionTrait,
    after: Option<&str>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut query =
        Entity::find().filter(Column::Refusal.is_null()).order_by_asc(Column::ProviderKey).limit(limit);
    if let Some(after) = after {
        query = query.filter(Column::ProviderKey.gt(after));
    }
    query.all(conn).await
}

pub(crate) async fn done_of(conn: &impl ConnectionTrait, keys: &[String]) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Refusal.is_null())
        .filter(Column::ProviderKey.is_in(keys.iter().map(String::as_str)))
        .all(conn)
        .await
}
