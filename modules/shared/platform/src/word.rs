//! Words of our own in the text of a statement, such as the name of a state.
//!
//! No plan for all values of a parameter can use an index of the rows in one state (`... WHERE state = 'open'`); one for just this value can, and
//! looks cheaper. So PostgreSQL plans such a statement anew each time (<https://www.postgresql.org/docs/current/sql-prepare.html>, notes), and
//! SQLite prepares it again when the value is bound.

use sea_orm::ColumnTrait;
use sea_orm::sea_query::{Expr, ExprTrait};

pub trait IsWord: ColumnTrait {
    /// Whether the column has this word, which is written into the statement: no place for what somebody else has said.
    fn is_word(&self, word: &'static str) -> Expr {
        Expr::col(self.as_column_ref()).eq(Expr::Constant(word.into()))
    }
}

impl<C: ColumnTrait> IsWord for C {}

#[cfg(test)]
mod tests {
    use sea_orm::{DbBackend, EntityTrait, QueryFilter, QueryTrait};

    use super::IsWord;
    use crate::idempotency::{Column, Entity};

    #[test]
    fn a_word_is_part_of_the_statement_and_no_parameter() {
        for backend in [DbBackend::Postgres, DbBackend::Sqlite] {
            let statement = Entity::find().filter(Column::State.is_word("open")).build(backend);
            assert!(
                statement.sql.ends_with(r#"WHERE "idempotency_keys"."state" = 'open'"#),
                "{}",
                statement.sql
            );
            assert!(statement.values.is_none_or(|values| values.0.is_empty()));
        }
    }
}
