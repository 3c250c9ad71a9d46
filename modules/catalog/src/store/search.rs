//! Pages of products that have some words.
//!
//! A word that is everywhere and one that hardly any product has want opposite ways. Walking a list in its order and looking at each text finds
//! a page of a common word at once, and reads the whole catalogue for a rare one. An index of trigrams (`products_by_text`) finds the few that have
//! a rare word at once, but must fetch and sort all that have a common one. Which of the two a word is, the database does not know well enough: its
//! statistics are of whole texts. So the beginning of the list is walked first, for a bounded number of rows: either it fills the page, or the
//! word has proved to be rare, and the index is asked.
//!
//! Words without three letters or digits in a row are taken to have no trigram; for them the list is walked to its end.

use sea_orm::sea_query::{Alias, Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, Order, QueryResult, Statement};

use crate::domain::search::{Words, trigrams};
use crate::domain::sort::{Sort, SortKey};
use crate::store::products::{
    COLUMNS, Column, Entity, Filter, Rows, in_price_range, on_shelf, sort_column, with_words,
};

/// How many rows of a list are looked at first: a tenth of a millisecond of PostgreSQL, which every search for a rare word pays.
const FIRST_LOOK: u64 = 100;
/// How many if the words are [`PROMISING`], or before the page: fetching all that have them takes longer than these from some ten thousand on.
const LONG_LOOK: u64 = 5_000;
/// So many among the first rows, and the words are not rare.
const PROMISING: usize = 2;

/// Which rows of a list make a page.
pub(crate) struct Asked<'a> {
    pub(crate) filter: &'a Filter,
    pub(crate) sort: Sort,
    /// Where the page begins.
    pub(crate) place: Option<Expr>,
    pub(crate) limit: u64,
    pub(crate) offset: u64,
}

/// Whether a search may be answered by trigrams: one of its words has three letters or digits in a row, which are a trigram in every index.
/// SQLite would give up the index of a category or of prices for it, and those are short enough.
pub(crate) fn may_use_trigrams(filter: &Filter, backend: DbBackend) -> bool {
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

/// A page of a search that [may use trigrams](may_use_trigrams).
pub(crate) async fn page(conn: &impl ConnectionTrait, asked: &Asked<'_>) -> Result<Rows, DbErr> {
    let backend = conn.get_database_backend();
    let rows_of = async |query: SelectStatement| conn.query_all_raw(backend.build(&query)).await;
    let is_full = |rows: &[QueryResult]| u64::try_from(rows.len()).is_ok_and(|found| found >= asked.limit);
    let mut rows = rows_of(asked.at_the_beginning(FIRST_LOOK)).await?;
    if !is_full(&rows) && rows_of(asked.beyond(FIRST_LOOK)).await?.is_empty() {
        // That was the whole list.
        return Ok(Rows { rows, by_trigrams: false });
    }
    // What comes before a numbered page has used up some of the look.
    if !is_full(&rows) && (rows.len() >= PROMISING || asked.offset > 0) {
        rows = rows_of(asked.at_the_beginning(LONG_LOOK)).await?;
    }
    let by_trigrams = !is_full(&rows);
    if by_trigrams {
        rows = rows_of(asked.by_trigrams(backend)).await?;
    }
    Ok(Rows { rows, by_trigrams })
}

/// Whether there is an index of trigrams that works: PostgreSQL may lack the extension, or had none when the schema was made.
pub(crate) async fn has_index(conn: &impl ConnectionTrait) -> Result<bool, DbErr> {
    if conn.get_database_backend() == DbBackend::Sqlite {
        return Ok(true);
    }
    let sql = "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('products_by_text') AND indisvalid) AS works";
    let row = conn.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    row.map_or(Ok(false), |row| row.try_get("", "works"))
}

/// [`on_shelf`] for those who fetch what has some words, rather than walk the list. PostgreSQL needs no more than the words: its index answers
/// `LIKE` (<https://www.postgresql.org/docs/current/pgtrgm.html>). SQLite has a table for that
/// (<https://www.sqlite.org/fts5.html>, the trigram tokenizer), and takes the few rows that it names for more than half of the catalogue; a `+` keeps
/// it from the indexes of lists (<https://www.sqlite.org/optoverview.html>, unary "+").
pub(crate) fn on_shelf_by_trigrams(filter: &Filter, backend: DbBackend) -> Condition {
    if backend != DbBackend::Sqlite {
        return on_shelf(filter);
    }
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
    Condition::all().add(Column::Id.in_subquery(ids)).add(Expr::cust("+active").eq(filter.active))
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

    /// The first row of the list that [`Self::at_the_beginning`] does not see.
    fn beyond(&self, rows: u64) -> SelectStatement {
        self.list().column(Column::Id).limit(1).offset(rows.saturating_add(self.offset)).to_owned()
    }

    /// The list in its order, whatever words its rows have.
    fn list(&self) -> SelectStatement {
        Query::select()
            .from(Entity)
            .cond_where(on_shelf(self.filter))
            .cond_where(in_price_range(self.filter))
            .cond_where(Condition::all().add_option(self.place.clone()))
            .order_by(sort_column(self.sort), self.direction())
            .order_by(Column::Id, self.direction())
            .to_owned()
    }

    /// Those that have the words, fetched by the index of trigrams and then sorted.
    pub(crate) fn by_trigrams(&self, backend: DbBackend) -> SelectStatement {
        let mut query = Query::select();
        query
            .from(Entity)
            .cond_where(on_shelf_by_trigrams(self.filter, backend))
            .cond_where(Condition::all().add_option(self.place.clone()))
            .order_by_expr(unindexed(self.sort), self.direction());
        self.page_of(query.cond_where(in_price_range(self.filter)).cond_where(with_words(self.filter)))
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
fn unindexed(sort: Sort) -> Expr {
    Expr::cust(match sort.key {
        SortKey::Name => "name_key || ''",
        SortKey::Price => "price_minor + 0",
        SortKey::CreatedAt => "created_at_ms + 0",
    })
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
