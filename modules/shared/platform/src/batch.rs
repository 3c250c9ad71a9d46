//! Several statements of one transaction in one round trip.
//!
//! PostgreSQL carries out every data-modifying statement of a `WITH` clause, against one snapshot and in no stated order
//! (<https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING>). So statements that do not look at what the others of them
//! write go together, and foreign keys among their rows hold, as those are looked at when all is written. SQLite has no such clause
//! and no round trips: there they run one after the other, in the order in which they were added.
//!
//! Rejected: several statements in one text (the simple protocol knows no parameters); pipelining (the driver does not).

use std::borrow::Cow;

use sea_orm::sea_query::{
    Alias, CommonTableExpression, Expr, InsertStatement, Query, SubQueryStatement, UpdateStatement,
    WithClause,
};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, StatementBuilder};

/// Statements that are to run together.
#[derive(Debug, Default)]
pub struct Batch {
    statements: Vec<(Change, Answer)>,
}

#[derive(Debug)]
enum Change {
    Insert(InsertStatement),
    Update(UpdateStatement),
}

/// What is to be known of a statement.
#[derive(Debug)]
enum Answer {
    /// How many rows it wrote.
    Rows,
    /// This column of the one row that it wrote.
    Column(&'static str),
}

/// Which statement of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(usize);

/// What the statements of a batch did.
#[derive(Debug)]
pub struct Done(Vec<i64>);

impl Done {
    /// How many rows a statement wrote, or the column that was asked for.
    pub fn of(&self, place: Place) -> i64 {
        self.0.get(place.0).copied().unwrap_or_default()
    }
}

impl Batch {
    /// Adds rows.
    pub fn insert(&mut self, statement: InsertStatement) -> Place {
        self.add(Change::Insert(statement), Answer::Rows)
    }

    /// Adds one row, a whole number of which is to be known.
    pub fn insert_returning(&mut self, statement: InsertStatement, column: &'static str) -> Place {
        self.add(Change::Insert(statement), Answer::Column(column))
    }

    /// Changes rows.
    pub fn update(&mut self, statement: UpdateStatement) -> Place {
        self.add(Change::Update(statement), Answer::Rows)
    }

    fn add(&mut self, change: Change, answer: Answer) -> Place {
        self.statements.push((change, answer));
        Place(self.statements.len() - 1)
    }

    /// Runs all of them. After an error the transaction is to be rolled back.
    pub async fn run(self, conn: &impl ConnectionTrait) -> Result<Done, DbErr> {
        if self.statements.is_empty() {
            return Ok(Done(Vec::new()));
        }
        match conn.get_database_backend() {
            DbBackend::Postgres => self.run_at_once(conn).await,
            _ => self.run_in_turn(conn).await,
        }
    }

    async fn run_at_once(self, conn: &impl ConnectionTrait) -> Result<Done, DbErr> {
        let mut with = WithClause::new();
        let mut answers = Query::select();
        let count = self.statements.len();
        for (index, (change, answer)) in self.statements.into_iter().enumerate() {
            let (returned, asked) = match answer {
                Answer::Rows => (Cow::Borrowed("1"), "count(*)".to_owned()),
                Answer::Column(column) => (Cow::Owned(column.to_owned()), format!("max({column})")),
            };
            let returning = Query::returning().expr(Expr::cust(returned.into_owned()));
            let statement: SubQueryStatement = match change {
                Change::Insert(mut statement) => statement.returning(returning).to_owned().into(),
                Change::Update(mut statement) => statement.returning(returning).to_owned().into(),
            };
            let mut part = CommonTableExpression::new();
            part.table_name(Alias::new(format!("s{index}"))).query(statement);
            with.cte(part);
            answers.expr_as(
                Expr::cust(format!("(SELECT {asked} FROM s{index})")),
                Alias::new(format!("n{index}")),
            );
        }
        let row = conn.query_one(&answers.with(with)).await?.ok_or_else(no_answer)?;
        (0..count).map(|index| number(&row, &format!("n{index}"))).collect::<Result<_, _>>().map(Done)
    }

    async fn run_in_turn(self, conn: &impl ConnectionTrait) -> Result<Done, DbErr> {
        let mut done = Vec::with_capacity(self.statements.len());
        for (change, answer) in self.statements {
            done.push(match (change, answer) {
                (Change::Insert(mut statement), Answer::Column(column)) => {
                    statement.returning_col(Alias::new(column));
                    number(&conn.query_one(&statement).await?.ok_or_else(no_answer)?, column)?
                }
                (Change::Update(mut statement), Answer::Column(column)) => {
                    statement.returning_col(Alias::new(column));
                    number(&conn.query_one(&statement).await?.ok_or_else(no_answer)?, column)?
                }
                (Change::Insert(statement), Answer::Rows) => rows(conn, &statement).await?,
                (Change::Update(statement), Answer::Rows) => rows(conn, &statement).await?,
            });
        }
        Ok(Done(done))
    }
}

async fn rows(conn: &impl ConnectionTrait, statement: &impl StatementBuilder) -> Result<i64, DbErr> {
    let affected = conn.execute(statement).await?.rows_affected();
    Ok(i64::try_from(affected).unwrap_or(i64::MAX))
}

fn number(row: &QueryResult, column: &str) -> Result<i64, DbErr> {
    row.try_get("", column)
}

fn no_answer() -> DbErr {
    DbErr::Custom("a batch of statements had no answer".to_owned())
}
