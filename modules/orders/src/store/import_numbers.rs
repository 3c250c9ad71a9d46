//! The order numbers that a running import has met. They wait here and not in memory, which a long file would fill.

use std::collections::HashSet;

use kernel::Timestamp;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter,
    PrimaryKeyTrait,
};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, QueryFilter, QuerySelect, Set};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "import_numbers")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: String,
    pub at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Which of these numbers the run has met before.
pub(crate) async fn met(
    conn: &impl ConnectionTrait,
    run_id: Uuid,
    numbers: &[String],
) -> Result<HashSet<String>, DbErr> {
    let met: Vec<String> = Entity::find()
        .select_only()
        .column(Column::Number)
        .filter(Column::RunId.eq(run_id))
        .filter(Column::Number.is_in(numbers))
        .into_tuple()
        .all(conn)
        .await?;
    Ok(met.into_iter().collect())
}

/// Remembers numbers, each given once.
pub(crate) async fn remember(
    conn: &impl ConnectionTrait,
    run_id: Uuid,
    numbers: &[String],
    now: Timestamp,
) -> Result<(), DbErr> {
    if numbers.is_empty() {
        return Ok(());
    }
    let rows = numbers.iter().map(|number| ActiveModel {
        run_id: Set(run_id),
        number: Set(number.clone()),
        at_ms: Set(now.ms()),
    });
    Entity::insert_many(rows).exec_without_returning(conn).await.map(|_| ())
}

/// Forgets a run that has ended, and what crashed ones left behind before an instant.
pub(crate) async fn forget(
    conn: &impl ConnectionTrait,
    run_id: Uuid,
    left_before: Timestamp,
) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::RunId.eq(run_id)).exec(conn).await?;
    Entity::delete_many().filter(Column::AtMs.lt(left_before.ms())).exec(conn).await.map(|_| ())
}
