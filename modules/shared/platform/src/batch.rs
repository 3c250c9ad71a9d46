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

use contracts::event::Event;
use sea_orm::sea_query::{
    Alias, CommonTableExpression, DeleteStatement, Expr, InsertStatement, Query, SelectStatement,
    SubQueryStatement, UpdateStatement, WithClause,
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
    /// The row that it changes and others may, too.
    contended: Option<String>,
}

#[derive(Debug)]
struct Part {
    change: Change,
    answer: Answer,
    duty: Duty,
    /// It writes only when that one has written.
    after: Option<Place>,
}

#[derive(Debug)]
enum Change {
    Insert(InsertStatement),
    /// Rows that a query finds.
    InsertFrom(InsertStatement, Box<SelectStatement>),
    Update(UpdateStatement),
    Delete(DeleteStatement),
}

/// What it means that a statement did not write exactly one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    /// Nothing: it is in the answer.
    None,
    /// All that the others wrote is undone.
    Must,
    /// Nobody has written anything: the others come after it.
    Gate,
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

    /// Takes rows away.
    pub fn delete(&mut self, statement: DeleteStatement) -> Place {
        self.add(Change::Delete(statement), Answer::Rows)
    }

    /// Adds the rows that a query finds, whose columns are those of the insertion.
    pub fn insert_from(&mut self, statement: InsertStatement, found: SelectStatement) -> Place {
        self.add(Change::InsertFrom(statement, Box::new(found)), Answer::Rows)
    }

    /// Puts an event into the outbox, to be published if and only if the transaction commits. Events of one batch are numbered in the order in
    /// which they are put in: PostgreSQL comes to a statement when the answer asks for it. Its manual promises no order; a test holds it to
    /// this one.
    pub fn emit<E: Event>(&mut self, system: &System, event: &E) -> Result<(), DbErr> {
        let (event_id, insertion) = outbox::insertion(system, event)?;
        let place = self.add(Change::Insert(insertion), Answer::Column(outbox::SEQ));
        self.events.push(Emitted { place, event_id, event_type: E::TYPE });
        Ok(())
    }

    /// This statement must write exactly one row, or nothing of the batch is to stand.
    pub fn must(&mut self, place: Place) -> Place {
        self.oblige(place, Duty::Must)
    }

    /// The same of a first statement that all others of the batch come [`Batch::after`], directly or by another one: when it refuses nothing
    /// has been written, so nothing needs to be undone, and the server logs no error. For what is refused every day.
    pub fn gate(&mut self, place: Place) -> Place {
        self.oblige(place, Duty::Gate)
    }

    fn oblige(&mut self, place: Place, duty: Duty) -> Place {
        if let Some(part) = self.statements.get_mut(place.0) {
            part.duty = duty;
        }
        place
    }

    /// This update, deletion or insertion of what is found comes after an earlier statement, and only if that has written: for what depends on it, and
    /// for rows that everybody locks in one order.
    pub fn after(&mut self, place: Place, earlier: Place) -> Place {
        if let Some(part) = self.statements.get_mut(place.0) {
            part.after = Some(earlier);
        }
        place
    }

    /// It changes a row of this name, as others may at the same time: no two such become one statement, and whoever locks several such
    /// rows does so in the order of their names.
    pub fn contends_for(&mut self, row: &str) {
        self.contended = Some(row.to_owned());
    }

    pub(crate) fn contended(&self) -> Option<&str> {
        self.contended.as_deref()
    }

    /// Its events: their ids and types.
    pub(crate) fn announced(&self) -> impl Iterator<Item = (Uuid, &'static str)> + use<'_> {
        self.events.iter().map(|event| (event.event_id, event.event_type))
    }

    fn add(&mut self, change: Change, answer: Answer) -> Place {
        self.statements.push(Part { change, answer, duty: Duty::None, after: None });
        Place(self.statements.len() - 1)
    }

    /// Runs all of them in the transaction of a connection. After an error or a refusal that is to be rolled back.
    pub async fn run(&self, conn: &impl ConnectionTrait) -> Result<Ran<Done>, DbErr> {
        Ok(match Self::run_all(&[self], conn).await? {
            Ran::Refused(place) => Ran::Refused(place),
            Ran::Done(each) => each.into_iter().next().unwrap_or_else(|| Ran::Done(Done::default())),
        })
    }

    /// Runs several that have no row in common. Refused by a statement that must write: none of them is to stand, and the place counts through
    /// all of them. Otherwise what became of each: one whose gate is closed has written nothing, and the others have.
    pub(crate) async fn run_all(
        batches: &[&Self],
        conn: &impl ConnectionTrait,
    ) -> Result<Ran<Vec<Ran<Done>>>, DbErr> {
        debug_assert!(
            batches.iter().all(|batch| batch.keeps_to_its_gate()),
            "what is beside a gate comes after it"
        );
        let answers = match conn.get_database_backend() {
            _ if batches.iter().all(|batch| batch.statements.is_empty()) => Ran::Done(Vec::new()),
            DbBackend::Postgres => run_at_once(batches, conn).await?,
            _ => run_in_turn(batches, conn).await?,
        };
        Ok(match answers {
            Ran::Refused(place) => Ran::Refused(place),
            Ran::Done(answers) => {
                let mut answers = answers.into_iter();
                Ran::Done(batches.iter().map(|batch| batch.done(&mut answers)).collect())
            }
        })
    }

    fn gate_of(&self) -> Option<usize> {
        self.statements.iter().position(|part| part.duty == Duty::Gate)
    }

    fn keeps_to_its_gate(&self) -> bool {
        let Some(gate) = self.gate_of() else { return true };
        self.statements.iter().enumerate().all(|(index, part)| index == gate || part.after.is_some())
    }

    fn done(&self, answers: &mut impl Iterator<Item = i64>) -> Ran<Done> {
        let mut done = Done { answers: answers.take(self.statements.len()).collect(), stored: Vec::new() };
        let stored = |event: &Emitted| outbox::Stored {
            seq: done.of(event.place),
            event_id: event.event_id,
            event_type: event.event_type,
        };
        done.stored = self.events.iter().map(stored).collect();
        match self.gate_of().map(Place).filter(|gate| done.of(*gate) != 1) {
            Some(gate) => Ran::Refused(gate),
            None => Ran::Done(done),
        }
    }
}

async fn run_at_once(batches: &[&Batch], conn: &impl ConnectionTrait) -> Result<Ran<Vec<i64>>, DbErr> {
    let mut with = WithClause::new();
    let mut answers = Query::select();
    let (mut first, mut count, mut musts) = (0, 0, Vec::new());
    for batch in batches {
        let gate = batch.gate_of().map(|gate| first + gate);
        for part in &batch.statements {
            let index = count;
            if part.duty == Duty::Must {
                musts.push(index);
            }
            let mut common = CommonTableExpression::new();
            common.table_name(Alias::new(format!("s{index}"))).query(part.counted(first)?);
            with.cte(common);
            let asked = part.asked(index, gate);
            answers.expr_as(
                Expr::cust(format!("(SELECT {asked} FROM s{index})")),
                Alias::new(format!("n{index}")),
            );
            count += 1;
        }
        first = count;
    }
    match conn.query_one(&answers.with(with)).await {
        Ok(row) => {
            let row = row.ok_or_else(no_answer)?;
            (0..count).map(|index| row.try_get_by_index(index)).collect::<Result<_, _>>().map(Ran::Done)
        }
        Err(error) => {
            let refused = musts.into_iter().find(|index| says(&error, &format!("{REFUSED}{index}: ")));
            refused.map_or(Err(error), |index| Ok(Ran::Refused(Place(index))))
        }
    }
}

impl Part {
    /// What is asked of this statement, the `index`th of all, whose batch may have a gate.
    fn asked(&self, index: usize, gate: Option<usize>) -> String {
        let asked = match self.answer {
            Answer::Rows => "count(*)".to_owned(),
            Answer::Column(column) => format!("max({column})"),
        };
        if self.duty != Duty::Must {
            return asked;
        }
        let behind = gate.map(|gate| format!(" OR NOT EXISTS (SELECT FROM s{gate})")).unwrap_or_default();
        // A text that is no number: made of the count, or the planner would look at it before anything has run.
        format!(
            "CASE WHEN count(*) = 1{behind} THEN {asked} ELSE ('{REFUSED}{index}: ' || count(*))::bigint END"
        )
    }

    /// The statement with its rows in its answer; that of its batch which it comes after is counted from `first`.
    fn counted(&self, first: usize) -> Result<SubQueryStatement, DbErr> {
        let returned = match self.answer {
            Answer::Rows => "1",
            Answer::Column(column) => column,
        };
        let returning = Query::returning().expr(Expr::cust(returned));
        let earlier = self.after.map(|Place(at)| Expr::cust(format!("EXISTS (SELECT FROM s{})", first + at)));
        Ok(match &self.change {
            Change::Insert(statement) => {
                let mut statement = statement.clone();
                statement.returning(returning);
                statement.into()
            }
            Change::InsertFrom(statement, found) => {
                let (mut statement, mut found) = (statement.clone(), (**found).clone());
                found.and_where_option(earlier);
                statement.select_from(found).map_err(|error| DbErr::Custom(error.to_string()))?;
                statement.returning(returning);
                statement.into()
            }
            Change::Update(statement) => {
                let mut statement = statement.clone();
                statement.and_where_option(earlier);
                statement.returning(returning);
                statement.into()
            }
            Change::Delete(statement) => {
                let mut statement = statement.clone();
                statement.and_where_option(earlier);
                statement.returning(returning);
                statement.into()
            }
        })
    }

    /// Runs by itself.
    async fn run(&self, conn: &impl ConnectionTrait) -> Result<i64, DbErr> {
        match (&self.change, &self.answer) {
            // Nobody can ask for a column of these two.
            (Change::Delete(statement), _) => rows(conn, statement).await,
            (Change::InsertFrom(statement, found), _) => {
                let mut statement = statement.clone();
                statement.select_from((**found).clone()).map_err(|error| DbErr::Custom(error.to_string()))?;
                rows(conn, &statement).await
            }
            (Change::Insert(statement), Answer::Column(column)) => {
                let mut statement = statement.clone();
                statement.returning_col(Alias::new(*column));
                number(&conn.query_one(&statement).await?.ok_or_else(no_answer)?, column)
            }
            (Change::Update(statement), Answer::Column(column)) => {
                let mut statement = statement.clone();
                statement.returning_col(Alias::new(*column));
                number(&conn.query_one(&statement).await?.ok_or_else(no_answer)?, column)
            }
            (Change::Insert(statement), Answer::Rows) => rows(conn, statement).await,
            (Change::Update(statement), Answer::Rows) => rows(conn, statement).await,
        }
    }
}

/// Whether the server could not read a text as a number (SQLSTATE 22P02) that contains this.
fn says(error: &DbErr, text: &str) -> bool {
    let (DbErr::Query(RuntimeErr::SqlxError(cause)) | DbErr::Exec(RuntimeErr::SqlxError(cause))) = error
    else {
        return false;
    };
    cause
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some("22P02") && error.message().contains(text))
}

async fn run_in_turn(batches: &[&Batch], conn: &impl ConnectionTrait) -> Result<Ran<Vec<i64>>, DbErr> {
    let mut done: Vec<i64> = Vec::new();
    for batch in batches {
        let first = done.len();
        for part in &batch.statements {
            let earlier = part.after.map(|Place(at)| done.get(first + at).copied().unwrap_or_default());
            // The gate is closed, or what it comes after was.
            let answer = if earlier == Some(0) { 0 } else { part.run(conn).await? };
            let is_behind_a_closed_gate =
                batch.gate_of().is_some_and(|gate| done.get(first + gate) == Some(&0));
            if part.duty == Duty::Must && answer != 1 && !is_behind_a_closed_gate {
                return Ok(Ran::Refused(Place(done.len())));
            }
            done.push(answer);
        }
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
