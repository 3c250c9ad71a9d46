//! The ledger: double entry, never updated, never deleted.

use kernel::Timestamp;
use platform::batch::Batch;
use platform::system::System;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::{ActiveModelTrait, ConnectionTrait, DbErr, InsertMany, IntoActiveModel, QueryTrait};
use uuid::Uuid;

use crate::domain::entries::Entry;
use crate::store::{attempts, payments};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ledger")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The attempt. The schema takes an account's side once a transaction, so no movement is written twice.
    pub transaction_id: Uuid,
    pub payment_id: Uuid,
    /// `customer`, `held` or `shop`.
    pub account: String,
    /// `debit` (receives) or `credit` (gives).
    pub side: String,
    pub amount_minor: i64,
    pub currency: String,
    pub at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Writes the entries of one movement.
pub(crate) async fn append(
    conn: &impl ConnectionTrait,
    system: &System,
    payment: &payments::Model,
    attempt: &attempts::Model,
    entries: &[Entry],
    now: Timestamp,
) -> Result<(), DbErr> {
    rows(system, payment, attempt, entries, now).exec_without_returning(conn).await.map(|_| ())
}

/// The same in a batch.
pub(crate) fn append_in(
    batch: &mut Batch,
    system: &System,
    payment: &payments::Model,
    attempt: &attempts::Model,
    entries: &[Entry],
    now: Timestamp,
) {
    batch.insert(rows(system, payment, attempt, entries, now).into_query());
}

fn rows(
    system: &System,
    payment: &payments::Model,
    attempt: &attempts::Model,
    entries: &[Entry],
    now: Timestamp,
) -> InsertMany<ActiveModel> {
    let rows = entries.iter().map(|entry| {
        let row = Model {
            id: system.id(),
            transaction_id: attempt.id,
            payment_id: payment.id,
            account: entry.account.to_owned(),
            side: entry.side.to_owned(),
            amount_minor: entry.amount_minor,
            currency: payment.currency.clone(),
            at_ms: now.ms(),
        };
        row.into_active_model().reset_all()
    });
    Entity::insert_many(rows)
}
