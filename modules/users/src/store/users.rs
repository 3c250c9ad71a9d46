//! One row a person.

use std::collections::HashMap;

use contracts::users::{Profile, Role};
use kernel::{Cursor, CursorError, EmailAddress, Limit, Page, Timestamp, UserId};
use platform::key_list::padded;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter, Json,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DbErr, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect,
};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub email: String,
    pub username: Option<String>,
    pub name: Option<String>,
    pub role: String,
    pub active: bool,
    #[sea_orm(column_type = "JsonBinary")]
    pub preferences: Json,
    pub version: i64,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// What is stored came in through the same checks.
    pub(crate) fn role(&self) -> Role {
        Role::parse(&self.role).unwrap_or(Role::Customer)
    }

    /// The form that other modules see.
    pub(crate) fn profile(&self) -> Result<Profile, DbErr> {
        Ok(Profile {
            id: UserId(self.id),
            email: EmailAddress::parse(&self.email)
                .map_err(|error| DbErr::Custom(format!("user {}: {error}", self.id)))?,
            username: self.username.clone(),
            name: self.name.clone(),
            role: self.role(),
            active: self.active,
            created_at: Timestamp::from_ms(self.created_at_ms),
        })
    }
}

/// Adds a user; false if the id, email or username is known.
pub(crate) async fn insert(conn: &impl ConnectionTrait, row: Model) -> Result<bool, DbErr> {
    let inserted = Entity::insert(row.into_active_model().reset_all())
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(conn)
        .await?;
    Ok(inserted > 0)
}

pub(crate) async fn find(conn: &impl ConnectionTrait, id: UserId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.uuid()).one(conn).await
}

/// The rows of some users.
pub(crate) async fn find_all(
    conn: &impl ConnectionTrait,
    ids: Vec<UserId>,
) -> Result<HashMap<UserId, Model>, DbErr> {
    let ids = padded(ids.into_iter().map(UserId::uuid));
    let rows = Entity::find().filter(Column::Id.is_in(ids)).all(conn).await?;
    Ok(rows.into_iter().map(|row| (UserId(row.id), row)).collect())
}

/// The row, locked until the transaction ends.
pub(crate) async fn find_for_update(conn: &impl ConnectionTrait, id: UserId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.uuid()).lock_exclusive().one(conn).await
}

pub(crate) async fn find_by_email(conn: &impl ConnectionTrait, email: &str) -> Result<Option<Model>, DbErr> {
    Entity::find().filter(Column::Email.eq(email)).one(conn).await
}

pub(crate) async fn find_by_username(
    conn: &impl ConnectionTrait,
    username: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find().filter(Column::Username.eq(username)).one(conn).await
}

/// Those of a batch that are known by their email, locked in the order of their ids until the transaction ends.
pub(crate) async fn find_by_emails_for_update(
    conn: &impl ConnectionTrait,
    emails: &[&str],
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Email.is_in(emails.iter().copied()))
        .order_by_asc(Column::Id)
        .lock_exclusive()
        .all(conn)
        .await
}

/// The active admins, locked in the order of their ids until the transaction ends: two admins who demote each other
/// wait for one another here, and the second sees what the first has done.
pub(crate) async fn active_admins_for_update(conn: &impl ConnectionTrait) -> Result<Vec<Uuid>, DbErr> {
    let admins = Entity::find()
        .filter(Column::Role.eq(Role::Admin.as_str()))
        .filter(Column::Active.eq(true))
        .order_by_asc(Column::Id)
        .lock_exclusive()
        .all(conn)
        .await?;
    Ok(admins.into_iter().map(|admin| admin.id).collect())
}

/// A page in order of registration. `only` narrows it to one user: what a customer may see.
pub(crate) async fn page(
    conn: &impl ConnectionTrait,
    only: Option<UserId>,
    email: Option<&str>,
    role: Option<Role>,
    limit: Limit,
    cursor: Option<&Cursor>,
) -> Result<Result<Page<Model>, CursorError>, DbErr> {
    let wanted = Condition::all()
        .add_option(only.map(|id| Column::Id.eq(id.uuid())))
        .add_option(email.map(|email| Column::Email.eq(email)))
        .add_option(role.map(|role| Column::Role.eq(role.as_str())));
    let mut query = Entity::find().filter(wanted).order_by_asc(Column::Id).limit(limit.probe());
    if let Some(cursor) = cursor {
        match cursor.unpack::<1>().and_then(|[id]| Uuid::parse_str(&id).map_err(|_| CursorError)) {
            Ok(after) => query = query.filter(Column::Id.gt(after)),
            Err(error) => return Ok(Err(error)),
        }
    }
    let rows = query.all(conn).await?;
    Ok(Ok(Page::from_probe(rows, limit, |row| Cursor::pack(&[&row.id.to_string()]))))
}

/// Writes a changed row over the version it was read in. False if that has changed.
pub(crate) async fn update(conn: &impl ConnectionTrait, row: &Model, now: Timestamp) -> Result<bool, DbErr> {
    let updated = Entity::update_many()
        .col_expr(Column::Username, Expr::value(row.username.clone()))
        .col_expr(Column::Name, Expr::value(row.name.clone()))
        .col_expr(Column::Role, Expr::value(row.role.clone()))
        .col_expr(Column::Active, Expr::value(row.active))
        .col_expr(Column::Preferences, Expr::value(row.preferences.clone()))
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .col_expr(Column::UpdatedAtMs, Expr::value(now.ms()))
        .filter(Column::Id.eq(row.id))
        .filter(Column::Version.eq(row.version))
        .exec(conn)
        .await?;
    Ok(updated.rows_affected == 1)
}
