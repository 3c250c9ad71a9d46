//! One row a product.

use std::collections::HashMap;
use std::sync::Arc;

use contracts::catalog::ProductRef;
use kernel::{Currency, Cursor, CursorError, Limit, Money, Page, ProductId, Sku, Timestamp};
use platform::cells::Cells;
use platform::idempotency::IdempotencyError;
use platform::key_list::padded;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter, Json,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{Expr, ExprTrait, LikeExpr, OnConflict};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, FromQueryResult, Order, QueryFilter, QueryOrder,
    QueryResult, QuerySelect, QueryTrait, Select, SelectModel, Selector, Set, SqlErr, Value,
};
use uuid::Uuid;

use crate::domain::product::Draft;
use crate::domain::search::{Words, fold, like_pattern, searchable};
use crate::domain::slug;
use crate::domain::sort::{Sort, SortKey};
use crate::error::CatalogError;
use crate::product::{Contents, Listed, Product, Versioned};
use crate::store::search::{self, Asked};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "products")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub sku: String,
    pub slug: String,
    pub name: String,
    /// The folded name: what sorting by name compares, byte by byte.
    pub name_key: Vec<u8>,
    pub description: Option<String>,
    pub category: String,
    pub price_minor: i64,
    pub currency: String,
    pub active: bool,
    #[sea_orm(column_type = "JsonBinary")]
    pub attributes: Json,
    pub image_url: Option<String>,
    /// What searching compares.
    pub search_text: String,
    pub version: i64,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A row without the columns that are only made from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub id: Uuid,
    pub sku: String,
    pub slug: String,
    pub name: String,
    pub description: Option<String>,
    pub category: String,
    pub price_minor: i64,
    pub currency: String,
    pub active: bool,
    pub attributes: Json,
    pub image_url: Option<String>,
    pub version: i64,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
}

/// What a [`Row`] is read from, in its order.
pub(crate) const COLUMNS: [Column; 14] = [
    Column::Id,
    Column::Sku,
    Column::Slug,
    Column::Name,
    Column::Description,
    Column::Category,
    Column::PriceMinor,
    Column::Currency,
    Column::Active,
    Column::Attributes,
    Column::ImageUrl,
    Column::Version,
    Column::CreatedAtMs,
    Column::UpdatedAtMs,
];

impl FromQueryResult for Row {
    fn from_query_result(row: &QueryResult, _prefix: &str) -> Result<Self, DbErr> {
        let cells = Cells::of(row)?;
        let text = |place| cells.get::<&str>(place).map(str::to_owned);
        let optional = |place| cells.get::<Option<&str>>(place).map(|text| text.map(str::to_owned));
        Ok(Self {
            id: cells.get(0)?,
            sku: text(1)?,
            slug: text(2)?,
            name: text(3)?,
            description: optional(4)?,
            category: text(5)?,
            price_minor: cells.get(6)?,
            currency: text(7)?,
            active: cells.get(8)?,
            attributes: cells.get(9)?,
            image_url: optional(10)?,
            version: cells.get(11)?,
            created_at_ms: cells.get(12)?,
            updated_at_ms: cells.get(13)?,
        })
    }
}

impl<'r> Listed<'r> {
    /// From one of [`COLUMNS`].
    fn read(row: &'r QueryResult) -> Result<Self, DbErr> {
        let cells = Cells::of(row)?;
        let id = cells.get(0)?;
        let currency = Currency::parse(cells.get(7)?).map_err(|error| damaged(id, &error))?;
        Ok(Self {
            id,
            sku: cells.get(1)?,
            slug: cells.get(2)?,
            name: cells.get(3)?,
            description: cells.get(4)?,
            category: cells.get(5)?,
            price: Money::new(cells.get(6)?, currency),
            active: cells.get(8)?,
            attributes: cells.get(9)?,
            image_url: cells.get(10)?,
            created_at: Timestamp::from_ms(cells.get(12)?),
            updated_at: Timestamp::from_ms(cells.get(13)?),
        })
    }
}

/// The rows of a page of a list, with one more if there is one.
pub(crate) struct Rows {
    pub(super) rows: Vec<QueryResult>,
    /// Whether they were found by an index of words, as there are few.
    pub(crate) by_index: bool,
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// What the page shows, and the way to the next one.
    pub(crate) fn page(&self, sort: Sort, limit: Limit) -> Result<Page<Listed<'_>>, DbErr> {
        let listed = self.rows.iter().map(Listed::read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::from_probe(listed, limit, |last| cursor(last, sort)))
    }
}

fn damaged(id: Uuid, error: &dyn std::error::Error) -> DbErr {
    DbErr::Custom(format!("product {id}: {error}"))
}

/// A query for [`Row`]s.
fn rows_of(query: Select<Entity>) -> Selector<SelectModel<Row>> {
    query.select_only().columns(COLUMNS).into_model()
}

/// A category and how many products on sale it has.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub(crate) struct CategoryCount {
    pub name: String,
    pub products: i64,
}

/// Which products a list shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Filter {
    pub(crate) active: bool,
    pub(crate) category: Option<String>,
    pub(crate) words: Words,
    pub(crate) min_price_minor: Option<i64>,
    pub(crate) max_price_minor: Option<i64>,
}

impl Row {
    /// A product that is new.
    pub(crate) fn new(id: Uuid, contents: &Contents, slug: String, now: Timestamp) -> Self {
        let fields = contents.details.fields();
        Self {
            id,
            sku: fields.sku.clone(),
            slug,
            name: fields.name.clone(),
            description: fields.description.clone(),
            category: fields.category.clone(),
            price_minor: fields.price.amount_minor,
            currency: fields.price.currency.as_str().to_owned(),
            active: fields.active,
            attributes: contents.attributes.as_value(),
            image_url: fields.image_url.clone(),
            version: 1,
            created_at_ms: now.ms(),
            updated_at_ms: now.ms(),
        }
    }

    /// The next version with other contents; `None` if they are the same.
    pub(crate) fn changed(&self, contents: &Contents, now: Timestamp) -> Option<Self> {
        let same = Self {
            version: self.version,
            created_at_ms: self.created_at_ms,
            updated_at_ms: self.updated_at_ms,
            ..Self::new(self.id, contents, self.slug.clone(), now)
        };
        if same == *self {
            return None;
        }
        Some(Self { version: self.version + 1, updated_at_ms: self.later(now), ..same })
    }

    /// The next version, taken out of the shop; `None` if it is already.
    pub(crate) fn retired(&self, now: Timestamp) -> Option<Self> {
        let updated_at_ms = self.later(now);
        let next = Self { active: false, version: self.version + 1, updated_at_ms, ..self.clone() };
        self.active.then_some(next)
    }

    /// What a shopkeeper wrote, without the attributes.
    pub(crate) fn draft(&self) -> Result<Draft, DbErr> {
        Ok(Draft {
            sku: self.sku.clone(),
            name: self.name.clone(),
            description: self.description.clone(),
            category: self.category.clone(),
            price: self.price()?,
            active: self.active,
            image_url: self.image_url.clone(),
        })
    }

    pub(crate) fn attributes(&self) -> serde_json::Map<String, Json> {
        self.attributes.as_object().cloned().unwrap_or_default()
    }

    /// The published form. Stored rows are valid: they came in through `parse`.
    pub(crate) fn shown(&self) -> Result<Versioned, DbErr> {
        self.clone().into_shown()
    }

    /// The same of a row that is needed no more.
    pub(crate) fn into_shown(self) -> Result<Versioned, DbErr> {
        let (sku, price) = (Sku::parse(&self.sku).map_err(|error| self.damaged(&error))?, self.price()?);
        Ok(Versioned::new(
            self.version,
            Product {
                id: ProductId(self.id),
                sku,
                slug: self.slug,
                name: self.name,
                description: self.description,
                category: self.category,
                price,
                active: self.active,
                attributes: match self.attributes {
                    Json::Object(attributes) => attributes,
                    _ => serde_json::Map::new(),
                },
                image_url: self.image_url,
                created_at: Timestamp::from_ms(self.created_at_ms),
                updated_at: Timestamp::from_ms(self.updated_at_ms),
            },
        ))
    }

    /// When the next version is from. A clock that was set back must not make a product older.
    fn later(&self, now: Timestamp) -> i64 {
        std::cmp::max(self.updated_at_ms, now.ms())
    }

    fn price(&self) -> Result<Money, DbErr> {
        let currency = Currency::parse(&self.currency).map_err(|error| self.damaged(&error))?;
        Ok(Money::new(self.price_minor, currency))
    }

    fn damaged(&self, error: &dyn std::error::Error) -> DbErr {
        damaged(self.id, error)
    }

    fn active_model(&self) -> ActiveModel {
        ActiveModel {
            id: Set(self.id),
            sku: Set(self.sku.clone()),
            slug: Set(self.slug.clone()),
            name: Set(self.name.clone()),
            name_key: Set(fold(&self.name).into_bytes()),
            description: Set(self.description.clone()),
            category: Set(self.category.clone()),
            price_minor: Set(self.price_minor),
            currency: Set(self.currency.clone()),
            active: Set(self.active),
            attributes: Set(self.attributes.clone()),
            image_url: Set(self.image_url.clone()),
            search_text: Set(searchable(&self.sku, &self.name, self.description.as_deref())),
            version: Set(self.version),
            created_at_ms: Set(self.created_at_ms),
            updated_at_ms: Set(self.updated_at_ms),
        }
    }
}

fn one(reference: &ProductRef) -> Select<Entity> {
    match reference {
        ProductRef::Id(id) => Entity::find().filter(Column::Id.eq(id.uuid())),
        ProductRef::Sku(sku) => Entity::find().filter(Column::Sku.eq(sku.as_str())),
    }
}

pub(crate) async fn find(conn: &impl ConnectionTrait, reference: &ProductRef) -> Result<Option<Row>, DbErr> {
    rows_of(one(reference)).one(conn).await
}

/// The row, locked until the transaction ends (SQLite: the whole database is).
pub(crate) async fn find_for_update(
    conn: &impl ConnectionTrait,
    reference: &ProductRef,
) -> Result<Option<Row>, DbErr> {
    rows_of(one(reference).lock_exclusive()).one(conn).await
}

fn many(references: &[ProductRef]) -> Select<Entity> {
    let ids: Vec<Uuid> = references
        .iter()
        .filter_map(|reference| match reference {
            ProductRef::Id(id) => Some(id.uuid()),
            ProductRef::Sku(_) => None,
        })
        .collect();
    let skus: Vec<&str> = references
        .iter()
        .filter_map(|reference| match reference {
            ProductRef::Sku(sku) => Some(sku.as_str()),
            ProductRef::Id(_) => None,
        })
        .collect();
    let mut any = Condition::any();
    if !ids.is_empty() {
        any = any.add(Column::Id.is_in(ids));
    }
    if !skus.is_empty() {
        any = any.add(Column::Sku.is_in(skus));
    }
    Entity::find().filter(any)
}

/// The products behind some references, in no order.
pub(crate) async fn find_all(
    conn: &impl ConnectionTrait,
    references: &[ProductRef],
) -> Result<Vec<Row>, DbErr> {
    // No condition at all would mean every product.
    if references.is_empty() {
        return Ok(Vec::new());
    }
    rows_of(many(references)).all(conn).await
}

/// The products behind some references in their published form, by each reference that may be asked for. A damaged one is an error of its own.
pub(crate) async fn shown(
    conn: &impl ConnectionTrait,
    references: Vec<ProductRef>,
) -> Result<HashMap<ProductRef, Result<Arc<Versioned>, DbErr>>, DbErr> {
    let mut shown = HashMap::new();
    for row in find_all(conn, &padded(references)).await? {
        let (id, sku) = (ProductId(row.id), Sku::parse(&row.sku).ok());
        let product = row.into_shown().map(Arc::new);
        shown.insert(ProductRef::Id(id), product.clone());
        shown.extend(sku.map(|sku| (ProductRef::Sku(sku), product)));
    }
    Ok(shown)
}

/// The rows of some SKUs, locked in SKU order until the transaction ends.
pub(crate) async fn find_all_for_update(
    conn: &impl ConnectionTrait,
    skus: &[&str],
) -> Result<Vec<Row>, DbErr> {
    let found = Entity::find()
        .filter(Column::Sku.is_in(skus.iter().copied()))
        .order_by_asc(Column::Sku)
        .lock_exclusive();
    rows_of(found).all(conn).await
}

/// Those of some slugs that are taken.
pub(crate) async fn taken_slugs(conn: &impl ConnectionTrait, slugs: &[String]) -> Result<Vec<String>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Slug)
        .filter(Column::Slug.is_in(slugs))
        .into_tuple()
        .all(conn)
        .await
}

/// Writes a new product under the best slug that is free. `SkuTaken` if another has the SKU.
pub(crate) async fn create(
    conn: &impl ConnectionTrait,
    id: Uuid,
    contents: &Contents,
    now: Timestamp,
) -> Result<Row, CatalogError> {
    let sku = contents.details.sku();
    for slug in slug::candidates(&contents.details.fields().name, sku, id) {
        let row = Row::new(id, contents, slug, now);
        let inserted = Entity::insert(row.active_model())
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .exec_without_returning(conn)
            .await?;
        if inserted > 0 {
            return Ok(row);
        }
        match find(conn, &ProductRef::Sku(sku.clone())).await? {
            // This very request, taken for dead, went through after all: its twin must not commit.
            Some(other) if other.id == id => return Err(IdempotencyError::TakenOver.into()),
            Some(_) => return Err(CatalogError::SkuTaken(sku.clone())),
            None => {}
        }
    }
    Err(CatalogError::NoSlug(sku.clone()))
}

/// Writes new products in one statement, except those whose SKU or slug someone has. Returns whether all went in.
pub(crate) async fn create_all(conn: &impl ConnectionTrait, rows: &[&Row]) -> Result<bool, DbErr> {
    if rows.is_empty() {
        return Ok(true);
    }
    let inserted = Entity::insert_many(rows.iter().map(|row| row.active_model()))
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(conn)
        .await?;
    Ok(usize::try_from(inserted).ok() == Some(rows.len()))
}

/// Those of some ids that there are.
pub(crate) async fn existing(conn: &impl ConnectionTrait, ids: Vec<Uuid>) -> Result<Vec<Uuid>, DbErr> {
    Entity::find().select_only().column(Column::Id).filter(Column::Id.is_in(ids)).into_tuple().all(conn).await
}

/// Writes the next version over the one before it, which the transaction has locked.
pub(crate) async fn update(conn: &impl ConnectionTrait, row: &Row) -> Result<(), CatalogError> {
    let changed = Entity::update_many()
        .set(row.active_model())
        .filter(Column::Id.eq(row.id))
        .filter(Column::Version.eq(row.version - 1))
        .exec(conn)
        .await;
    match changed {
        Ok(result) if result.rows_affected == 1 => Ok(()),
        Ok(_) => Err(CatalogError::Changed { version: row.version }),
        // The slug and the id are its own, so it can only be the SKU that another has.
        Err(error) => match (error.sql_err(), Sku::parse(&row.sku)) {
            (Some(SqlErr::UniqueConstraintViolation(_)), Ok(sku)) => Err(CatalogError::SkuTaken(sku)),
            _ => Err(error.into()),
        },
    }
}

/// The part of a filter that the order of every list begins with: a shelf, so to speak.
pub(crate) fn on_shelf(filter: &Filter) -> Condition {
    let category = filter.category.as_ref().map(|category| Column::Category.eq(category));
    Condition::all().add(is_active(filter)).add_option(category)
}

/// In the text of the statement, where PostgreSQL needs no estimate for it and so keeps its plan.
pub(crate) fn is_active(filter: &Filter) -> Expr {
    let literal = if filter.active { "TRUE" } else { "FALSE" };
    Expr::col((Entity, Column::Active)).eq(Expr::cust(literal))
}

/// A filter for those who walk a list.
fn found_by_walking(filter: &Filter) -> Condition {
    on_shelf(filter).add(in_price_range(filter)).add(with_words(filter))
}

/// Its prices.
pub(crate) fn in_price_range(filter: &Filter) -> Condition {
    let at_least = filter.min_price_minor.map(|price| Column::PriceMinor.gte(price));
    let at_most = filter.max_price_minor.map(|price| Column::PriceMinor.lte(price));
    Condition::all().add_option(at_least).add_option(at_most)
}

/// Its words, as the text itself has them.
pub(crate) fn with_words(filter: &Filter) -> Condition {
    filter.words.iter().fold(Condition::all(), |words, word| {
        words.add(Column::SearchText.like(LikeExpr::new(like_pattern(word)).escape('\\')))
    })
}

pub(crate) fn sort_column(sort: Sort) -> Column {
    match sort.key {
        SortKey::Name => Column::NameKey,
        SortKey::Price => Column::PriceMinor,
        SortKey::CreatedAt => Column::CreatedAtMs,
    }
}

/// A list in order. The id breaks ties, in the direction of the sort, so that one index serves both directions.
fn ordered(filter: &Filter, sort: Sort) -> Select<Entity> {
    let direction = if sort.descending { Order::Desc } else { Order::Asc };
    let filtered = Entity::find().filter(found_by_walking(filter));
    filtered.order_by(sort_column(sort), direction.clone()).order_by(Column::Id, direction)
}

fn ordered_after(
    filter: &Filter,
    sort: Sort,
    cursor: Option<&Cursor>,
) -> Result<Select<Entity>, CursorError> {
    let place = cursor.map(|cursor| after(cursor, sort)).transpose()?;
    Ok(ordered(filter, sort).filter(Condition::all().add_option(place)))
}

/// What comes after a cursor.
fn after(cursor: &Cursor, sort: Sort) -> Result<Expr, CursorError> {
    Ok(beyond(Expr::col(sort_column(sort)), sort, position(cursor, sort)?))
}

/// What comes after a position, by what a list is sorted by.
pub(crate) fn beyond(key: Expr, sort: Sort, (last_key, last_id): (Value, Uuid)) -> Expr {
    let place = Expr::tuple([key, Expr::col(Column::Id)]);
    let last = Expr::tuple([Expr::value(last_key), Expr::value(last_id)]);
    if sort.descending { place.lt(last) } else { place.gt(last) }
}

fn cursor(last: &Listed<'_>, sort: Sort) -> Cursor {
    let key = match sort.key {
        SortKey::Name => fold(last.name),
        SortKey::Price => last.price.amount_minor.to_string(),
        SortKey::CreatedAt => last.created_at.ms().to_string(),
    };
    Cursor::pack(&[sort.as_str(), &key, &last.id.to_string()])
}

/// Where a cursor points. One of another sort points nowhere in this list.
fn position(cursor: &Cursor, sort: Sort) -> Result<(Value, Uuid), CursorError> {
    let [of, key, id] = cursor.unpack::<3>()?;
    if of != sort.as_str() {
        return Err(CursorError);
    }
    let key = match sort.key {
        SortKey::Name => Value::from(key.into_bytes()),
        SortKey::Price | SortKey::CreatedAt => Value::from(key.parse::<i64>().map_err(|_| CursorError)?),
    };
    Ok((key, Uuid::parse_str(&id).map_err(|_| CursorError)?))
}

/// The rows of a page of a list, from a cursor or from `offset` rows on.
pub(crate) async fn page(
    conn: &impl ConnectionTrait,
    filter: &Filter,
    sort: Sort,
    limit: Limit,
    from: Option<&Cursor>,
    offset: u64,
) -> Result<Rows, CatalogError> {
    let backend = conn.get_database_backend();
    if search::may_use_index(filter, backend) {
        let after = from.map(|cursor| position(cursor, sort)).transpose()?;
        return Ok(search::page(conn, &Asked { filter, sort, after, limit: limit.probe(), offset }).await?);
    }
    let mut query = ordered_after(filter, sort, from)?.select_only().columns(COLUMNS).limit(limit.probe());
    if offset > 0 {
        query = query.offset(offset);
    }
    Ok(Rows { rows: conn.query_all_raw(query.build(backend)).await?, by_index: false })
}

/// How many products a list has; `by_index` if its page [was found by them](Rows::by_index).
pub(crate) async fn count(
    conn: &impl ConnectionTrait,
    filter: &Filter,
    by_index: bool,
) -> Result<u64, DbErr> {
    let found = match by_index {
        true => search::found_by_index(filter, conn.get_database_backend()),
        false => found_by_walking(filter),
    };
    let total: Option<i64> = counting(found).into_tuple().one(conn).await?;
    Ok(total.and_then(|total| u64::try_from(total).ok()).unwrap_or(0))
}

fn counting(found: Condition) -> Select<Entity> {
    Entity::find().filter(found).select_only().column_as(Column::Id.count(), "total")
}

/// The categories with products on sale, in the order of their bytes.
pub(crate) async fn categories(
    conn: &impl ConnectionTrait,
    at_most: u64,
) -> Result<Vec<CategoryCount>, DbErr> {
    Entity::find()
        .select_only()
        .column_as(Column::Category, "name")
        .column_as(Column::Id.count(), "products")
        .filter(Column::Active.eq(true))
        .group_by(Column::Category)
        .order_by_asc(Column::Category)
        .limit(at_most)
        .into_model::<CategoryCount>()
        .all(conn)
        .await
}

/// Every product, retired ones too, in the order of their ids, after one of them.
pub(crate) async fn all_after(
    conn: &impl ConnectionTrait,
    after: Option<Uuid>,
    at_most: u64,
) -> Result<Vec<Row>, DbErr> {
    let mut query = Entity::find().order_by_asc(Column::Id).limit(at_most);
    if let Some(after) = after {
        query = query.filter(Column::Id.gt(after));
    }
    rows_of(query).all(conn).await
}

#[cfg(test)]
mod tests {
    use sea_orm::{DbBackend, Statement};
    use testkit::{Bench, Engine};

    use super::*;

    fn filter(category: Option<&str>) -> Filter {
        Filter {
            active: true,
            category: category.map(str::to_owned),
            words: Words::default(),
            min_price_minor: None,
            max_price_minor: None,
        }
    }

    /// How SQLite goes about a query, in its own words.
    async fn plan(bench: &Bench, query: Select<Entity>) -> String {
        explained(bench, query.build(DbBackend::Sqlite)).await
    }

    async fn explained(bench: &Bench, mut statement: Statement) -> String {
        let db = bench.open("catalog").await;
        statement.sql = format!("EXPLAIN QUERY PLAN {}", statement.sql);
        let rows = db.reader().query_all_raw(statement).await.unwrap();
        db.close().await.unwrap();
        rows.iter().map(|row| row.try_get::<String>("", "detail").unwrap()).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn lists_walk_an_index_in_every_sort_and_sort_nothing() {
        testkit::run(async {
            let bench = Bench::new(Engine::Sqlite).await;
            bench.db("catalog").await.close().await.unwrap();
            for sort in Sort::ALL {
                let key = match sort.key {
                    SortKey::Name => "lamp",
                    SortKey::Price | SortKey::CreatedAt => "100",
                };
                let after = Cursor::pack(&[sort.as_str(), key, &Uuid::nil().to_string()]);
                for (category, index) in [(None, "products_by_"), (Some("Gifts"), "products_of_category_by_")]
                {
                    for cursor in [None, Some(&after)] {
                        let query = ordered_after(&filter(category), sort, cursor).unwrap().limit(21);
                        let plan = plan(&bench, query).await;
                        assert!(
                            plan.contains(index) && !plan.contains("TEMP B-TREE"),
                            "{sort:?} {category:?}: {plan}"
                        );
                        assert!(
                            cursor.is_none() || plan.contains(")>(") || plan.contains(")<("),
                            "{sort:?}: {plan}"
                        );
                    }
                }
            }
        });
    }

    #[test]
    fn a_search_walks_the_list_for_a_while_and_then_asks_for_trigrams() {
        testkit::run(async {
            let bench = Bench::new(Engine::Sqlite).await;
            bench.db("catalog").await.close().await.unwrap();
            for (category, sort) in
                [None, Some("Gifts")].into_iter().flat_map(|of| Sort::ALL.map(|sort| (of, sort)))
            {
                let filter = Filter { words: Words::parse("brass lamp").unwrap(), ..filter(category) };
                let asked = Asked { filter: &filter, sort, after: None, limit: 21, offset: 0 };
                let walked =
                    explained(&bench, DbBackend::Sqlite.build(&asked.at_the_beginning(search::FIRST_LOOK)))
                        .await;
                let index = if category.is_some() { "products_of_category_by_" } else { "products_by_" };
                assert!(walked.contains(index), "{sort:?} {category:?}: {walked}");
                if category.is_some() {
                    assert!(!search::may_use_index(&filter, DbBackend::Sqlite));
                    continue;
                }
                let found =
                    explained(&bench, DbBackend::Sqlite.build(&asked.by_index(DbBackend::Sqlite))).await;
                assert!(
                    found.contains("SEARCH products USING INDEX sqlite_autoindex_products_1 (id=?)"),
                    "{found}"
                );
                assert!(found.contains("product_texts VIRTUAL TABLE INDEX"), "{found}");
            }
        });
    }

    #[test]
    fn lookups_and_counts_use_an_index() {
        testkit::run(async {
            let bench = Bench::new(Engine::Sqlite).await;
            bench.db("catalog").await.close().await.unwrap();
            let by_id = ProductRef::Id(ProductId(Uuid::nil()));
            let by_sku = ProductRef::Sku(Sku::parse("A").unwrap());
            for query in [one(&by_id), one(&by_sku), many(&[by_id.clone(), by_sku.clone()])] {
                let plan = plan(&bench, query).await;
                assert!(plan.contains("SEARCH") && !plan.contains("SCAN"), "{plan}");
            }
            let gifts = filter(Some("Gifts"));
            let counted = plan(&bench, counting(found_by_walking(&gifts))).await;
            assert!(counted.contains("COVERING INDEX products_of_category"), "{counted}");
            let words = Filter { words: Words::parse("lamp").unwrap(), ..filter(None) };
            let found = plan(&bench, counting(search::found_by_index(&words, DbBackend::Sqlite))).await;
            assert!(
                found.contains("product_texts VIRTUAL TABLE INDEX") && found.contains("(id=?)"),
                "{found}"
            );
        });
    }

    #[test]
    fn a_cursor_is_bound_to_its_sort() {
        let name = Cursor::pack(&["name", "lamp", &Uuid::nil().to_string()]);
        assert!(position(&name, Sort::default()).is_ok());
        assert!(position(&name, Sort { key: SortKey::Name, descending: true }).is_err());
        let price = Sort { key: SortKey::Price, descending: false };
        assert!(position(&Cursor::pack(&["price", "cheap", &Uuid::nil().to_string()]), price).is_err());
        assert!(position(&Cursor::pack(&["price", "1", "no id"]), price).is_err());
    }
}
