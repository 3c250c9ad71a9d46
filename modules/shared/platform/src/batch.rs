//! Several statements of one transaction in one round trip.
//!
//! PostgreSQL carries out every data-modifying statement of a `WITH` clause, against one snapshot and in no stated order
//! (<https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING>). So statements that do not look at what the others of them
//! write go together, and foreign keys among their rows hold, as those are looked at when all is written. SQLite has no such clause
//! and no round trips: there they run one after the other, in the order in which they were added.
//!
//! A statement that must write a row ([`Batch::must`]) and does not undoes all of them: on PostgreSQL the answer of the whole is then an
//! error of ours, so a batch can be a transaction by itself ([`crate::db::Db::commit`]) without a round trip to begin and one to commit, and no
//! row is locked for longer than one statement takes.
//!
//! Rejected: several statements in one text (the simple protocol knows no parameters); pipelining (the driver does not); a function in the
//! database that raises the error (a second language, and a step of migration a module, for one line).

use std::borrow::Cow;

use contracts::event::Event;
use sea_orm::sea_query::{
    Alias, CommonTableExpression, Expr, InsertStatement, Query, SubQueryStatement, UpdateStatement,
    WithClause,
};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, RuntimeErr, StatementBuilder};
use uuid::Uuid;

use crate::outbox;
use crate::system::System;

/// Statements that are to run together.
#[derive(Debug, Default)]
pub struct Batch {
    statements: Vec<Part>,
    events: Vec<Emitted>,
}

#[derive(Debug)]
struct Part {
    change: Change,
    answer: Answer,
    must: bool,
    /// It takes its rows when that one has taken its own.
    after: Option<Place>,
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

/// An event among the statements.
#[derive(Debug)]
struct Emitted {
    place: Place,
    event_id: Uuid,
    event_type: &'static str,
}

/// Which statement of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(usize);

/// What the statements of a batch did.
#[derive(Debug, Default)]
pub struct Done {
    answers: Vec<i64>,
    pub(crate) stored: Vec<outbox::Stored>,
}

impl Done {
    /// How many rows a statement wrote, or the column that was asked for.
    pub fn of(&self, place: Place) -> i64 {
        self.answers.get(place.0).copied().unwrap_or_default()
    }
}

/// What became of a batch.
#[derive(Debug)]
pub enum Ran<T> {
    Done(T),
    /// This statement must write one row and did not (or one of several such), so nothing of the batch is to stand. What else its transaction
    /// did must be rolled back.
    Refused(Place),
}

/// How the answer of a statement that wrote nothing is called in the error that undoes the batch; then comes its place.
const REFUSED: &str = "souk refused ";

impl Batch {
    /// Adds rows.
    pub fn insert(&mut self, statement: InsertStatement) -> Place {
        self.add(Change::Insert(statement), Answer::Rows)
    }

    /// Changes rows.
    pub fn update(&mut self, statement: UpdateStatement) -> Place {
        self.add(Change::Update(statement), Answer::Rows)
    }

    /// Puts an event into the outbox, to be published if and only if the transaction commits.
    pub fn emit<E: Event>(&mut self, system: &System, event: &E) -> Result<(), DbErr> {
        let (event_id, insertion) = outbox::insertion(system, event)?;
        let place = self.add(Change::Insert(insertion), Answer::Column(outbox::SEQ));
        self.events.push(Emitted { place, event_id, event_type: E::TYPE });
        Ok(())
    }

    /// This statement must write exactly one row, or nothing of the batch is to stand.
    pub fn must(&mut self, place: Place) -> Place {
        if let Some(part) = self.statements.get_mut(place.0) {
            part.must = true;
        }
        place
    }

    /// This update takes its rows after an earlier one has taken its own, and only if it has: for rows that everybody locks in
    /// one order.
    pub fn after(&mut self, place: Place, earlier: Place) -> Place {
        if let Some(part) = self.statements.get_mut(place.0) {
            part.after = Some(earlier);
        }
        place
    }

    /// Its events: their ids and types.
    pub(crate) fn announced(&self) -> impl Iterator<Item = (Uuid, &'static str)> + use<'_> {
        self.events.iter().map(|event| (event.event_id, event.event_type))
    }

    fn add(&mut self, change: Change, answer: Answer) -> Place {
        self.statements.push(Part { change, answer, must: false, after: None });
        Place(self.statements.len() - 1)
    }

    /// Runs all of them in the transaction of a connection. After an error or a refusal that is to be rolled back.
    pub async fn run(self, conn: &impl ConnectionTrait) -> Result<Ran<Done>, DbErr> {
        if self.statements.is_empty() {
            return Ok(Ran::Done(Done::default()));
        }
        let events = self.events;
        let ran = match conn.get_database_backend() {
            DbBackend::Postgres => run_at_once(self.statements, conn).await?,
            _ => run_in_turn(self.statements, conn).await?,
        };
        Ok(match ran {
            Ran::Refused(place) => Ran::Refused(place),
            Ran::Done(answers) => {
                let mut done = Done { answers, stored: Vec::new() };
                done.stored = events
                    .into_iter()
                    .map(|Emitted { place, event_id, event_type }| outbox::Stored {
                        seq: done.of(place),
                        event_id,
                        event_type,
                    })
                    .collect();
                Ran::Done(done)
            }
        })
    }
}

async fn run_at_once(parts: Vec<Part>, conn: &impl ConnectionTrait) -> Result<Ran<Vec<i64>>, DbErr> {
    let mut with = WithClause::new();
    let mut answers = Query::select();
    let musts: Vec<usize> = parts.iter().enumerate().filter(|(_, part)| part.must).map(|(at, _)| at).collect();
    let count = parts.len();
    for (index, part) in parts.into_iter().enumerate() {
        let (returned, asked) = match part.answer {
            Answer::Rows => (Cow::Borrowed("1"), "count(*)".to_owned()),
            Answer::Column(column) => (Cow::Owned(column.to_owned()), format!("max({column})")),
        };
        // A text that is no number: made of the count, or the planner would look at it before anything has run.
        let asked = match part.must {
            true => format!(
                "CASE WHEN count(*) = 1 THEN {asked} ELSE ('{REFUSED}{index}: ' || count(*))::bigint END"
            ),
            false => asked,
        };
        let returning = Query::returning().expr(Expr::cust(returned.into_owned()));
        let statement: SubQueryStatement = match part.change {
            Change::Insert(mut statement) => statement.returning(returning).to_owned().into(),
            Change::Update(mut statement) => {
                if let Some(Place(earlier)) = part.after {
                    statement.and_where(Expr::cust(format!("EXISTS (SELECT FROM s{earlier})")));
                }
                statement.returning(returning).to_owned().into()
            }
        };
        let mut common = CommonTableExpression::new();
        common.table_name(Alias::new(format!("s{index}"))).query(statement);
        with.cte(common);
        answers
            .expr_as(Expr::cust(format!("(SELECT {asked} FROM s{index})")), Alias::new(format!("n{index}")));
    }
    match conn.query_one(&answers.with(with)).await {
        Ok(row) => {
            let row = row.ok_or_else(no_answer)?;
            (0..count).map(|index| number(&row, &format!("n{index}"))).collect::<Result<_, _>>().map(Ran::Done)
        }
        Err(error) => {
            let refused = musts.into_iter().find(|index| says(&error, &format!("{REFUSED}{index}: ")));
            refused.map_or(Err(error), |index| Ok(Ran::Refused(Place(index))))
        }
    }
}

/// Whether the server could not read a text as a number (SQLSTATE 22P02) that contains this.
fn says(error: &DbErr, text: &str) -> bool {
    let (DbErr::Query(RuntimeErr::SqlxError(cause)) | DbErr::Exec(RuntimeErr::SqlxError(cause))) = error else {
        return false;
    };
    cause
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some("22P02") && error.message().contains(text))
}

async fn run_in_turn(parts: Vec<Part>, conn: &impl ConnectionTrait) -> Result<Ran<Vec<i64>>, DbErr> {
    let mut done = Vec::with_capacity(parts.len());
    for (index, part) in parts.into_iter().enumerate() {
        let counts_rows = matches!(part.answer, Answer::Rows);
        let answer = match (part.change, part.answer) {
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
        };
        if part.must && counts_rows && answer != 1 {
            return Ok(Ran::Refused(Place(index)));
        }
        done.push(answer);
    }
    Ok(Ran::Done(done))
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
