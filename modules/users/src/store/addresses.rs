//! Address books. Every query is of one user.

use kernel::{Address, AddressId, Cursor, CursorError, Limit, Page, UserId};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter, Json,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, IntoActiveModel, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "addresses")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    #[sea_orm(column_type = "JsonBinary")]
    pub address: Json,
    pub created_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The address itself.
    pub(crate) fn address(&self) -> Result<Address, DbErr> {
        serde_json::from_value(self.address.clone()).map_err(|error| DbErr::Custom(error.to_string()))
    }
}

pub(crate) async fn insert(conn: &impl ConnectionTrait, row: Model) -> Result<(), DbErr> {
    Entity::insert(row.into_active_model().reset_all()).exec_without_returning(conn).await.map(|_| ())
}

pub(crate) async fn count_of(conn: &impl ConnectionTrait, user_id: UserId) -> Result<u64, DbErr> {
    Entity::find().filter(Column::UserId.eq(user_id.uuid())).count(conn).await
}

/// A page, oldest first.
pub(crate) async fn page_of(
    conn: &impl ConnectionTrait,
    user_id: UserId,
    limit: Limit,
    cursor: Option<&Cursor>,
) -> Result<Result<Page<Model>, CursorError>, DbErr> {
    let mut query = Entity::find()
        .filter(Column::UserId.eq(user_id.uuid()))
        .order_by_asc(Column::Id)
        .limit(limit.probe());
    if let Some(cursor) = cursor {
        match cursor.unpack::<1>().and_then(|[id]| Uuid::parse_str(&id).map_err(|_| CursorError)) {
            Ok(after) => query = query.filter(Column::Id.gt(after)),
            Err(error) => return Ok(Err(error)),
        }
    }
    let rows = query.all(conn).await?;
    Ok(Ok(Page::from_probe(rows, limit, |row| Cursor::pack(&[&row.id.to_string()]))))
}

pub(crate) async fn find_of(
    conn: &impl ConnectionTrait,
    user_id: UserId,
    id: AddressId,
) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.uuid()).filter(Column::UserId.eq(user_id.uuid())).one(conn).await
}

/// Replaces an address. False if the user has none of this id.
pub(crate) async fn replace_of(
    conn: &impl ConnectionTrait,
    user_id: UserId,
    id: AddressId,
    address: Json,
) -> Result<bool, DbErr> {
    let replaced = Entity::update_many()
        .col_expr(Column::Address, Expr::value(address))
        .filter(Column::Id.eq(id.uuid()))
        .filter(Column::UserId.eq(user_id.uuid()))
        .exec(conn)
        .await?;
    Ok(replaced.rows_affected == 1)
}

/// Deletes an address. False if the user has none of this id.
pub(crate) async fn delete_of(
    conn: &impl ConnectionTrait,
    user_id: UserId,
    id: AddressId,
) -> Result<bool, DbErr> {
    let deleted = Entity::delete_many()
        .filter(Column::Id.eq(id.uuid()))
        .filter(Column::UserId.eq(user_id.uuid()))
        .exec(conn)
        .await?;
    Ok(deleted.rows_affected == 1)
}
