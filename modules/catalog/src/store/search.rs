//! Pages of products that have some words.
//!
//! A word that is everywhere and one that hardly any product has want opposite ways. Walking a list in its order and looking at each text finds
//! a page of a common word at once, and reads the whole catalogue for a rare one. An index of parts of words (trigrams, `products_by_text`) finds the few
//! that have a rare word at once, but must fetch and sort all that have a common one. Which of the two a word is, the database does not know well enough: its
//! statistics are of whole texts. So the beginning of the list is walked first, for a bounded number of rows: either it fills the page, or the
//! word has proved to be rare, and the index is asked.
//!
//! Words without three letters or digits in a row are taken to have no trigram; for them the list is walked to its end. Numbers have few
//! different trigrams, which many texts share; so PostgreSQL has an index of their parts of five digits, too (`products_by_digits`), for searches that
//! have nothing but numbers.

use sea_orm::sea_query::{Alias, Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, Order, QueryResult, Statement, Value,
};
use uuid::Uuid;

use crate::domain::search::{Words, digit_parts, like_pattern, trigrams};
use crate::domain::sort::{Sort, SortKey};
use crate::store::products::{
    COLUMNS, Column, Entity, Filter, Rows, beyond, in_price_range, is_active, on_shelf, sort_column,
    with_words,
};

/// How many rows of a list are looked at first: a tenth of a millisecond of PostgreSQL, which every search for a rare word pays.
pub(crate) const FIRST_LOOK: u64 = 100;
/// How many if the words are [`PROMISING`], or before the page: fetching all that have them takes longer than these from some ten thousand on.
const LONG_LOOK: u64 = 5_000;
/// So many among the first rows, and the words are not rare. One may be chance: if that were enough, long looks in vain would make searches for what one
/// of a thousand products has a third dearer.
const PROMISING: usize = 2;

/// Which rows of a list make a page.
pub(crate) struct Asked<'a> {
    pub(crate) filter: &'a Filter,
    pub(crate) sort: Sort,
    /// After which place the page begins.
    pub(crate) after: Option<(Value, Uuid)>,
    pub(crate) limit: u64,
    pub(crate) offset: u64,
}

/// Whether a search may be answered by an index of words: one of its words has three letters or digits in a row, which are a trigram in every index.
/// SQLite would give up the index of a category or of prices for it, and those are short enough.
pub(crate) fn may_use_index(filter: &Filter, backend: DbBackend) -> bool {
    let is_narrow =
        filter.category.is_some() || filter.min_price_minor.is_some() || filter.max_price_minor.is_some();
    has_trigram(&filter.words) && (backend != DbBackend::Sqlite || !is_narrow)
}

fn has_trigram(words: &Words) -> bool {
    words.iter().any(|word| {
        let mut runs = word.split(|letter: char| !letter.is_alphanumeric());
        runs.any(|run| run.chars().nth(2).is_some())
    })
}

/// A page of a search that [may use an index](may_use_index).
pub(crate) async fn page(conn: &impl ConnectionTrait, asked: &Asked<'_>) -> Result<Rows, DbErr> {
    let backend = conn.get_database_backend();
    let rows_of = async |query: SelectStatement| conn.query_all_raw(backend.build(&query)).await;
    let is_full = |rows: &[QueryResult]| u64::try_from(rows.len()).is_ok_and(|found| found >= asked.limit);
    // A page of more could not be filled by fewer.
    let first_look = Ord::max(FIRST_LOOK, asked.limit);
    let mut rows = rows_of(asked.at_the_beginning(first_look)).await?;
    if !is_full(&rows) && asked.is_a_part() && !asked.is_longer_than(conn, first_look).await? {
        // That was the whole list.
        return Ok(Rows { rows, by_index: false });
    }
    // What comes before a numbered page has used up some of the look.
    if !is_full(&rows) && (rows.len() >= PROMISING || asked.offset > 0) {
        rows = rows_of(asked.at_the_beginning(LONG_LOOK)).await?;
    }
    let by_index = !is_full(&rows);
    if by_index {
        rows = rows_of(asked.by_index(backend)).await?;
    }
    Ok(Rows { rows, by_index })
}

/// The indexes of words that there are not, or that do not work: PostgreSQL may lack the extension, or had none when the schema was made, or
/// was interrupted while it made one.
pub(crate) async fn missing_indexes(conn: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    if conn.get_database_backend() == DbBackend::Sqlite {
        return Ok(Vec::new());
    }
    let sql = "SELECT name FROM unnest(ARRAY['products_by_text', 'products_by_digits']) AS name \
        WHERE NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(name) AND indisvalid)";
    let rows = conn.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    rows.iter().map(|row| row.try_get("", "name")).collect()
}

/// A filter for those who fetch what has some words, rather than walk the list. Neither a category nor prices nor a place in the list may use an
/// index: the databases would meet the few that have the words with a whole category.
pub(crate) fn found_by_index(filter: &Filter, backend: DbBackend) -> Condition {
    if backend == DbBackend::Sqlite { found_by_fts5(filter) } else { found_by_gin(filter) }
}

/// By `products_by_digits` if there is nothing but numbers, else by `products_by_text`, which answers `LIKE`
/// (<https://www.postgresql.org/docs/current/pgtrgm.html>). Never by both: PostgreSQL would read all that one of them has of a common word.
///
/// What is looked for comes from a query of its own, `(SELECT $1)`. So it is as unknown to a plan for these words as to one for all, both
/// cost the same, and the server keeps the latter; else it would plan each search again, which takes longer than finding what is rare
/// (<https://www.postgresql.org/docs/current/sql-prepare.html>, notes).
fn found_by_gin(filter: &Filter) -> Condition {
    let numbers: Option<Vec<_>> = filter.words.iter().map(digit_parts).collect();
    let (mut found, pattern) = match numbers {
        Some(numbers) => {
            let parts = "digit_parts(search_text) @> (SELECT string_to_array($1, ' '))";
            let parts = Expr::cust_with_values(parts, [numbers.concat().join(" ")]);
            (Condition::all().add(parts), "search_text || '' LIKE (SELECT $1::text)")
        }
        None => (Condition::all(), "search_text LIKE (SELECT $1::text)"),
    };
    for word in filter.words.iter() {
        found = found.add(Expr::cust_with_values(pattern, [like_pattern(word)]));
    }
    let category = filter.category.as_ref();
    let price = || Expr::cust(unindexed(SortKey::Price));
    found
        .add(is_active(filter))
        .add_option(category.map(|category| Expr::cust("category || ''").eq(category.as_str())))
        .add_option(filter.min_price_minor.map(|at_least| price().gte(at_least)))
        .add_option(filter.max_price_minor.map(|at_most| price().lte(at_most)))
}

/// By a table of trigrams (<https://www.sqlite.org/fts5.html>, the trigram tokenizer). SQLite takes the few rows that it names for more than half
/// of the catalogue; a `+` keeps it from the indexes of lists (<https://www.sqlite.org/optoverview.html>, unary "+").
fn found_by_fts5(filter: &Filter) -> Condition {
    let trigrams: Vec<String> = filter
        .words
        .iter()
        .flat_map(trigrams)
        .map(|trigram| format!("\"{}\"", trigram.replace('"', "\"\"")))
        .collect();
    let numbers = Query::select()
        .expr(Expr::cust("rowid"))
        .from(Alias::new("product_texts"))
        .and_where(Expr::cust_with_values("product_texts MATCH ?", [trigrams.join(" ")]))
        .to_owned();
    let ids = Query::select()
        .column(Alias::new("product_id"))
        .from(Alias::new("product_numbers"))
        .and_where(Expr::col(Alias::new("number")).in_subquery(numbers))
        .to_owned();
    Condition::all()
        .add(Column::Id.in_subquery(ids))
        .add(Expr::cust("+active").eq(filter.active))
        .add(in_price_range(filter))
        .add(with_words(filter))
}

impl Asked<'_> {
    /// Those that have the words among the first rows of the list, and among as many more as come before the page. The list's own index gives
    /// the rows.
    pub(crate) fn at_the_beginning(&self, rows: u64) -> SelectStatement {
        let list = self
            .list()
            .columns(COLUMNS)
            .columns([Column::NameKey, Column::SearchText])
            .limit(rows.saturating_add(self.offset))
            .to_owned();
        let mut query = Query::select();
        query.from_subquery(list, Entity).order_by(sort_column(self.sort), self.direction());
        self.page_of(query.cond_where(with_words(self.filter)))
    }

    /// Whether the list is a part of what is on sale, and so perhaps a short one. A whole shop that is short is searched at once by any way.
    fn is_a_part(&self) -> bool {
        let Filter { active, category, words: _, min_price_minor, max_price_minor } = self.filter;
        !active
            || category.is_some()
            || min_price_minor.is_some()
            || max_price_minor.is_some()
            || self.after.is_some()
            || self.offset > 0
    }

    /// Whether the list has more rows than [`Self::at_the_beginning`] looks at.
    async fn is_longer_than(&self, conn: &impl ConnectionTrait, rows: u64) -> Result<bool, DbErr> {
        let seen = rows.saturating_add(self.offset);
        let list = self.list().column(Column::Id).limit(seen.saturating_add(1)).to_owned();
        let counted =
            Query::select().expr_as(Expr::cust("COUNT(*)"), "rows").from_subquery(list, Entity).to_owned();
        let counted = conn.query_one_raw(conn.get_database_backend().build(&counted)).await?;
        let rows: i64 = counted.map_or(Ok(0), |row| row.try_get("", "rows"))?;
        Ok(u64::try_from(rows).is_ok_and(|rows| rows > seen))
    }

    /// The list in its order, whatever words its rows have.
    fn list(&self) -> SelectStatement {
        Query::select()
            .from(Entity)
            .cond_where(on_shelf(self.filter))
            .cond_where(in_price_range(self.filter))
            .cond_where(self.place(Expr::col(sort_column(self.sort))))
            .order_by(sort_column(self.sort), self.direction())
            .order_by(Column::Id, self.direction())
            .to_owned()
    }

    /// Those that have the words, fetched by an index of words and then sorted.
    pub(crate) fn by_index(&self, backend: DbBackend) -> SelectStatement {
        let key = match backend {
            // Text, which is never the same as bytes; there nothing but the words has an index that would be taken.
            DbBackend::Sqlite => Expr::col(sort_column(self.sort)),
            _ => Expr::cust(unindexed(self.sort.key)),
        };
        let mut query = Query::select();
        query
            .from(Entity)
            .cond_where(found_by_index(self.filter, backend))
            .cond_where(self.place(key))
            .order_by_expr(Expr::cust(unindexed(self.sort.key)), self.direction());
        self.page_of(&mut query)
    }

    /// Where the page begins, by what the list is sorted by.
    fn place(&self, key: Expr) -> Condition {
        Condition::all().add_option(self.after.clone().map(|last| beyond(key, self.sort, last)))
    }

    fn page_of(&self, query: &mut SelectStatement) -> SelectStatement {
        query.columns(COLUMNS).order_by(Column::Id, self.direction()).limit(self.limit);
        if self.offset > 0 {
            query.offset(self.offset);
        }
        query.to_owned()
    }

    fn direction(&self) -> Order {
        if self.sort.descending { Order::Desc } else { Order::Asc }
    }
}

/// What a list is sorted by, as an expression that no index has: else the databases would rather walk the list to the first few rows than fetch
/// and sort, as they take rare words for common ones. A name and nothing has the same bytes.
fn unindexed(key: SortKey) -> &'static str {
    match key {
        SortKey::Name => "name_key || ''",
        SortKey::Price => "price_minor + 0",
        SortKey::CreatedAt => "created_at_ms + 0",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_letters_or_digits_in_a_row_are_a_trigram() {
        for (text, has) in [
            ("lamp", true),
            ("ab", false),
            ("a-b-c", false),
            ("100%", true),
            ("c++ x", false),
            ("c++ mug", true),
            ("стул", true),
            ("椅子", false),
        ] {
            assert_eq!(has_trigram(&Words::parse(text).unwrap()), has, "{text}");
        }
    }
}
