//! A row's columns by their places, borrowed from the row where they can be.
//!
//! sea-orm reads a column into a value that owns its bytes, and by its name unless told. A page of twenty products has three hundred columns.

use sea_orm::sqlx::postgres::PgRow;
use sea_orm::sqlx::sqlite::SqliteRow;
use sea_orm::sqlx::{self, Decode, Postgres, Row, Sqlite, Type};
use sea_orm::{DbErr, QueryResult, RuntimeErr};

/// What a column may be read as: `&str`, `i64`, `bool`, `Uuid`, `Value`, and options of these.
pub trait Cell<'r>: Decode<'r, Postgres> + Type<Postgres> + Decode<'r, Sqlite> + Type<Sqlite> {}

impl<'r, T: Decode<'r, Postgres> + Type<Postgres> + Decode<'r, Sqlite> + Type<Sqlite>> Cell<'r> for T {}

/// The columns of a row.
#[derive(Clone, Copy)]
pub struct Cells<'r>(Kind<'r>);

#[derive(Clone, Copy)]
enum Kind<'r> {
    Postgres(&'r PgRow),
    Sqlite(&'r SqliteRow),
}

impl<'r> Cells<'r> {
    /// Of a row of either database.
    pub fn of(row: &'r QueryResult) -> Result<Self, DbErr> {
        let kind = match (row.try_as_pg_row(), row.try_as_sqlite_row()) {
            (Some(row), _) => Kind::Postgres(row),
            (None, Some(row)) => Kind::Sqlite(row),
            (None, None) => return Err(DbErr::Custom("a row of an unknown database".to_owned())),
        };
        Ok(Self(kind))
    }

    /// The column at a place, counted from 0. An error if it is of another type, or null where that cannot be.
    pub fn get<T: Cell<'r>>(self, place: usize) -> Result<T, DbErr> {
        match self.0 {
            Kind::Postgres(row) => row.try_get(place),
            Kind::Sqlite(row) => row.try_get(place),
        }
        .map_err(|error: sqlx::Error| DbErr::Query(RuntimeErr::SqlxError(error.into())))
    }
}
