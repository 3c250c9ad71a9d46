//! Who did what. Rows are added and read; the database refuses everything else (triggers).

use kernel::{Cursor, CursorError, Limit, Page, Timestamp, UserId};
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter, Json,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DbErr, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect,
};
use uuid::Uuid;

use crate::domain::audit::Action;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_log")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub at_ms: i64,
    pub by_kind: String,
    pub user_id: Option<Uuid>,
    pub api_key_id: Option<Uuid>,
    pub action: String,
    pub target_kind: String,
    pub target: String,
    #[sea_orm(column_type = "JsonBinary")]
    pub details: Json,
    pub trace_id: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Which entries a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AuditFilter {
    /// Done by this user, or by a machine of theirs.
    pub(crate) user_id: Option<UserId>,
    pub(crate) action: Option<Action>,
    /// Done to this.
    pub(crate) target: Option<String>,
    /// Then or later.
    pub(crate) from: Option<Timestamp>,
    /// Before then.
    pub(crate) to: Option<Timestamp>,
}

/// An event that is replayed when its inbox row is long gone finds its entry there.
pub(crate) async fn append(conn: &impl ConnectionTrait, row: Model) -> Result<(), DbErr> {
    Entity::insert(row.into_active_model().reset_all())
        .on_conflict(OnConflict::column(Column::Id).do_nothing().to_owned())
        .exec_without_returning(conn)
        .await
        .map(|_| ())
}

/// A page, newest first.
pub(crate) async fn page(
    conn: &impl ConnectionTrait,
    filter: AuditFilter,
    limit: Limit,
    cursor: Option<&Cursor>,
) -> Result<Result<Page<Model>, CursorError>, DbErr> {
    let mut query = Entity::find()
        .filter(
            Condition::all()
                .add_option(filter.user_id.map(|user| Column::UserId.eq(user.uuid())))
                .add_option(filter.action.map(|action| Column::Action.eq(action.as_str())))
                .add_option(filter.target.map(|target| Column::Target.eq(target)))
                .add_option(filter.from.map(|from| Column::AtMs.gte(from.ms())))
                .add_option(filter.to.map(|to| Column::AtMs.lt(to.ms()))),
        )
        .order_by_desc(Column::AtMs)
        .order_by_desc(Column::Id)
        .limit(limit.probe());
    if let Some(cursor) = cursor {
        let (at_ms, id) = match last_seen(cursor) {
            Ok(seen) => seen,
            Err(error) => return Ok(Err(error)),
        };
        let before = Condition::any()
            .add(Column::AtMs.lt(at_ms))
            .add(Condition::all().add(Column::AtMs.eq(at_ms)).add(Column::Id.lt(id)));
        // The first filter repeats the second so that an index range can serve it.
        query = query.filter(Column::AtMs.lte(at_ms)).filter(before);
    }
    let rows = query.all(conn).await?;
    let key = |row: &Model| Cursor::pack(&[&row.at_ms.to_string(), &row.id.to_string()]);
    Ok(Ok(Page::from_probe(rows, limit, key)))
}

fn last_seen(cursor: &Cursor) -> Result<(i64, Uuid), CursorError> {
    let [at_ms, id] = cursor.unpack::<2>()?;
    Ok((at_ms.parse().map_err(|_| CursorError)?, Uuid::parse_str(&id).map_err(|_| CursorError)?))
}
