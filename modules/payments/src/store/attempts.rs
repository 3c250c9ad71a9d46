//! One row a movement of money, written before the provider is asked, with the key that it is asked under.

use kernel::{PaymentId, Timestamp};
use platform::batch::{Batch, Place};
use platform::word::IsWord;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, IntoActiveModel, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait, UpdateMany,
};
use uuid::Uuid;

use crate::domain::movement::Movement;

pub(crate) const OPEN: &str = "open";
pub(crate) const SUCCEEDED: &str = "succeeded";
pub(crate) const FAILED: &str = "failed";

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "attempts")]
pub(crate) struct Model {
    /// Of a refund: the refund's id. It is also the ledger's transaction.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub payment_id: Uuid,
    pub kind: String,
    pub amount_minor: i64,
    /// The provider does nothing twice under one key.
    pub provider_key: String,
    /// What stands for the card; kept only while the attempt is open.
    pub token: Option<String>,
    pub state: String,
    /// Why it failed, in the provider's word.
    pub failure: Option<String>,
    pub reason: Option<String>,
    /// The admin who asked for it.
    pub actor_id: Option<Uuid>,
    /// It gives back what a cancelled order had paid.
    pub undo: bool,
    pub created_at_ms: i64,
    /// Until then somebody may be at work on it.
    pub lease_until_ms: i64,
    pub ended_at_ms: Option<i64>,
}

// By hand, because the token must not come into logs.
impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt")
            .field("id", &self.id)
            .field("payment_id", &self.payment_id)
            .field("kind", &self.kind)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn movement(&self) -> Result<Movement, DbErr> {
        Movement::parse(&self.kind)
            .ok_or_else(|| DbErr::Custom(format!("attempt {} cannot be read", self.id)))
    }

    /// The id under which the client's idempotency key knows this movement.
    pub(crate) fn resource_id(&self) -> Result<Uuid, DbErr> {
        Ok(if self.movement()?.begins() { self.payment_id } else { self.id })
    }
}

pub(crate) async fn find(conn: &impl ConnectionTrait, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(conn).await
}

/// The attempt that began a payment.
pub(crate) async fn first_of(
    conn: &impl ConnectionTrait,
    payment_id: PaymentId,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::PaymentId.eq(payment_id.uuid()))
        .filter(Column::Kind.is_in([Movement::Authorize.as_str(), Movement::Charge.as_str()]))
        .one(conn)
        .await
}

pub(crate) async fn open_by_provider_key(
    conn: &impl ConnectionTrait,
    provider_key: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::ProviderKey.eq(provider_key))
        .filter(Column::State.is_word(OPEN))
        .one(conn)
        .await
}

pub(crate) async fn by_provider_keys(
    conn: &impl ConnectionTrait,
    keys: &[String],
) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::ProviderKey.is_in(keys.iter().map(String::as_str))).all(conn).await
}

/// Whether a movement of the hold (begin, capture, void) is under way.
pub(crate) async fn hold_is_moving(
    conn: &impl ConnectionTrait,
    payment_id: PaymentId,
) -> Result<bool, DbErr> {
    let open = Entity::find()
        .filter(Column::PaymentId.eq(payment_id.uuid()))
        .filter(Column::State.is_word(OPEN))
        .filter(Column::Kind.ne(Movement::Refund.as_str()))
        .count(conn)
        .await?;
    Ok(open > 0)
}

pub(crate) async fn insert(conn: &impl ConnectionTrait, row: Model) -> Result<Model, DbErr> {
    row.into_active_model().reset_all().insert(conn).await
}

/// Writes it in a batch.
pub(crate) fn insert_in(batch: &mut Batch, row: Model) {
    batch.insert(Entity::insert(row.into_active_model().reset_all()).into_query());
}

/// Open attempts whose lease ended by then, oldest first.
pub(crate) async fn left_behind(
    conn: &impl ConnectionTrait,
    lease_ended: Timestamp,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::State.is_word(OPEN))
        .filter(Column::LeaseUntilMs.lte(lease_ended.ms()))
        .order_by_asc(Column::LeaseUntilMs)
        .limit(limit)
        .all(conn)
        .await
}

/// Succeeded attempts by id, from one on.
pub(crate) async fn succeeded_after(
    conn: &impl ConnectionTrait,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut query =
        Entity::find().filter(Column::State.is_word(SUCCEEDED)).order_by_asc(Column::Id).limit(limit);
    if let Some(after) = after {
        query = query.filter(Column::Id.gt(after));
    }
    query.all(conn).await
}

/// Takes the work over, or goes on with it. False if it has ended or somebody else moved the lease since it was read.
pub(crate) async fn lease(
    conn: &impl ConnectionTrait,
    seen: &Model,
    lease_until: Timestamp,
) -> Result<bool, DbErr> {
    let leased = Entity::update_many()
        .col_expr(Column::LeaseUntilMs, Expr::value(lease_until.ms()))
        .filter(Column::Id.eq(seen.id))
        .filter(Column::State.is_word(OPEN))
        .filter(Column::LeaseUntilMs.eq(seen.lease_until_ms))
        .exec(conn)
        .await?;
    Ok(leased.rows_affected == 1)
}

/// Sets until when somebody is at work on it, by whoever is. Nothing happens if it has ended.
pub(crate) async fn renew(
    conn: &impl ConnectionTrait,
    id: Uuid,
    lease_until: Timestamp,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::LeaseUntilMs, Expr::value(lease_until.ms()))
        .filter(Column::Id.eq(id))
        .filter(Column::State.is_word(OPEN))
        .exec(conn)
        .await
        .map(|_| ())
}

/// Ends an open attempt and forgets the token. False if it has ended: then the caller must change nothing.
pub(crate) async fn end(
    conn: &impl ConnectionTrait,
    id: Uuid,
    failure: Option<&str>,
    now: Timestamp,
) -> Result<bool, DbErr> {
    Ok(ending(id, failure, now).exec(conn).await?.rows_affected == 1)
}

/// Ends one that succeeded in a batch, after another statement; the batch is refused if it has ended.
pub(crate) fn succeed_in(batch: &mut Batch, id: Uuid, now: Timestamp, earlier: Place) {
    let place = batch.update(ending(id, None, now).into_query());
    batch.after(place, earlier);
    batch.must(place);
}

fn ending(id: Uuid, failure: Option<&str>, now: Timestamp) -> UpdateMany<Entity> {
    let state = if failure.is_some() { FAILED } else { SUCCEEDED };
    Entity::update_many()
        .col_expr(Column::State, Expr::value(state))
        .col_expr(Column::Failure, Expr::value(failure.map(str::to_owned)))
        .col_expr(Column::Token, Expr::value(None::<String>))
        .col_expr(Column::EndedAtMs, Expr::value(Some(now.ms())))
        .filter(Column::Id.eq(id))
        .filter(Column::State.is_word(OPEN))
}
