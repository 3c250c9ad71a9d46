//! Idempotency keys: a POST that is sent twice acts once.
//!
//! The row of a key is written before the work begins, with the id of what the work will create. The work's own
//! transaction stores the outcome into that row ([`Ticket::complete`]), so effect and memory of it commit together.
//! While the row is open, others with the same key wait for it, for a bounded time; if its owner died, its lease
//! ([`crate::lease`]) runs out and the next one takes the work over under the same resource id.

use std::time::Duration;

use kernel::Timestamp;
use sea_orm::entity::prelude::{
    ActiveModelBehavior, DeriveEntityModel, DerivePrimaryKey, DeriveRelation, EntityTrait, EnumIter, Json,
    PrimaryKeyTrait,
};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Set, UpdateMany,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;

use crate::batch::{Batch, Place, Ran};
use crate::db::{Db, Tx};
use crate::group_commit::Shape;
use crate::lease::{self, LEASE};
use crate::problem::{Problem, codes};
use crate::word::IsWord;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency_keys")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub principal: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub route: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub idempotency_key: String,
    pub request_hash: String,
    /// `open` or `done`.
    pub state: String,
    /// What the request creates.
    pub resource_id: Uuid,
    #[sea_orm(column_type = "JsonBinary")]
    pub outcome: Option<Json>,
    pub created_at_ms: i64,
    /// Until then the request that opened it may still be at work.
    pub lease_until_ms: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The state of a key whose request is under way, or was left behind.
pub const OPEN: &str = "open";
/// The state of a key that has its outcome.
pub const DONE: &str = "done";

/// How long a second request waits for the first: longer than a lease, so that it takes over from one that died.
pub const WAIT: Duration = Duration::from_secs(10);
/// How long an outcome is remembered.
pub const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

/// A key in its scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedRequest {
    /// Who asks; keys of different principals never meet.
    pub principal: String,
    /// Where, such as `POST /orders`.
    pub route: String,
    /// The client's key.
    pub key: String,
    /// [`hash`] of the request.
    pub request_hash: String,
}

/// SHA-256 of a request's meaning, in hexadecimal.
pub fn hash(request: &impl Serialize) -> String {
    let bytes = serde_json::to_vec(request).unwrap_or_default();
    Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What to do with a keyed request.
#[derive(Debug)]
pub enum Begin<T> {
    /// Do the work.
    Work(Ticket),
    /// It was done before; this is what came of it.
    Replay(T),
}

/// Why a keyed request is not worked on.
#[derive(Debug, Error)]
pub enum IdempotencyError {
    #[error("this Idempotency-Key was used for another request")]
    KeyReused,
    #[error("a request with this Idempotency-Key is still running")]
    InProgress,
    /// Another request or a worker took the ticket over; the transaction must not commit.
    #[error("this request was taken over")]
    TakenOver,
    #[error("database error")]
    Database(#[from] DbErr),
    #[error("a stored outcome cannot be read")]
    Outcome(#[from] serde_json::Error),
}

impl From<IdempotencyError> for Problem {
    fn from(error: IdempotencyError) -> Self {
        match error {
            IdempotencyError::KeyReused => Problem::new(
                codes::IDEMPOTENCY_KEY_REUSED,
                "This Idempotency-Key came before with another body or path. Use a new key for a new request.",
            ),
            IdempotencyError::InProgress | IdempotencyError::TakenOver => Problem::new(
                codes::IDEMPOTENCY_KEY_IN_PROGRESS,
                "The first request with this key has not ended yet. Ask again with the same key in a moment.",
            )
            .retry_soon(),
            IdempotencyError::Database(error) => error.into(),
            IdempotencyError::Outcome(error) => Problem::internal(&error),
        }
    }
}

/// The right to do the work of one key.
#[derive(Debug, Clone)]
pub struct Ticket {
    request: Option<KeyedRequest>,
    /// The id of what the work creates; the same again after a takeover.
    pub resource_id: Uuid,
    /// True if an earlier attempt died: parts of the work may have been done.
    pub resumed: bool,
    /// Until when the key was this ticket's when it was given.
    lease_until_ms: i64,
}

/// Opens the key, or finds what came of it, or waits (at most [`WAIT`]) for the request that has it. Without a key there is only work.
pub async fn begin<T: DeserializeOwned>(
    db: &Db,
    request: Option<KeyedRequest>,
) -> Result<Begin<T>, IdempotencyError> {
    let resource_id = db.system().id();
    let Some(request) = request else {
        return Ok(Begin::Work(Ticket { request: None, resource_id, resumed: false, lease_until_ms: 0 }));
    };
    let give_up_at = tokio::time::Instant::now() + WAIT;
    let mut pause = Duration::from_millis(5);
    let mut is_taken = false;
    loop {
        // Who waits only reads: many that wait for one key must not keep those who work from SQLite's writer.
        let lease_until_ms = db.system().now().plus(LEASE).ms();
        if !is_taken && open(db, &request, resource_id, lease_until_ms).await? {
            let request = Some(request);
            return Ok(Begin::Work(Ticket { request, resource_id, resumed: false, lease_until_ms }));
        }
        let found = find(db, &request).await?;
        // Gone again means that its owner has withdrawn it: the next round opens it.
        is_taken = found.is_some();
        if let Some(row) = found {
            if row.request_hash != request.request_hash {
                return Err(IdempotencyError::KeyReused);
            }
            if let Some(outcome) = row.outcome {
                return Ok(Begin::Replay(serde_json::from_value(outcome)?));
            }
            if let Some(ticket) = take_over(db, &request, &row).await? {
                return Ok(Begin::Work(ticket));
            }
        }
        if tokio::time::Instant::now() + pause > give_up_at {
            return Err(IdempotencyError::InProgress);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

async fn open(
    db: &Db,
    request: &KeyedRequest,
    resource_id: Uuid,
    lease_until_ms: i64,
) -> Result<bool, DbErr> {
    let now = db.system().now();
    let row = ActiveModel {
        principal: Set(request.principal.clone()),
        route: Set(request.route.clone()),
        idempotency_key: Set(request.key.clone()),
        request_hash: Set(request.request_hash.clone()),
        state: Set(OPEN.to_owned()),
        resource_id: Set(resource_id),
        outcome: Set(None),
        created_at_ms: Set(now.ms()),
        lease_until_ms: Set(lease_until_ms),
    };
    let unless_taken = OnConflict::columns([Column::Principal, Column::Route, Column::IdempotencyKey])
        .do_nothing()
        .to_owned();
    let mut batch = Batch::default();
    let place = batch.insert(Entity::insert(row).on_conflict(unless_taken).into_query());
    // Alone in its batch, so a key that is taken leaves nothing to undo.
    batch.gate(place);
    Ok(matches!(db.commit_with_others(Shape("idempotency.open", 1), batch).await?, Ran::Done(_)))
}

async fn find(db: &Db, request: &KeyedRequest) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id((request.principal.clone(), request.route.clone(), request.key.clone()))
        .one(db.reader())
        .await
}

async fn take_over(db: &Db, request: &KeyedRequest, row: &Model) -> Result<Option<Ticket>, DbErr> {
    let now = db.system().now();
    if row.lease_until_ms > now.ms() {
        return Ok(None);
    }
    let lease_until_ms = now.plus(LEASE).ms();
    let taken = Entity::update_many()
        .col_expr(Column::LeaseUntilMs, Expr::value(lease_until_ms))
        .filter(in_scope(request))
        .filter(Column::State.is_word(OPEN))
        .filter(Column::LeaseUntilMs.eq(row.lease_until_ms))
        .exec(db.writer())
        .await?;
    Ok((taken.rows_affected == 1).then(|| Ticket {
        request: Some(request.clone()),
        resource_id: row.resource_id,
        resumed: true,
        lease_until_ms,
    }))
}

/// Nothing happens if the key is not open any more: whoever closed it decides.
async fn renew(db: &Db, request: &KeyedRequest, resource_id: Uuid) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::LeaseUntilMs, Expr::value(db.system().now().plus(LEASE).ms()))
        .filter(in_scope(request))
        .filter(Column::State.is_word(OPEN))
        .filter(Column::ResourceId.eq(resource_id))
        .exec(db.writer())
        .await
        .map(|_| ())
}

fn in_scope(request: &KeyedRequest) -> sea_orm::Condition {
    sea_orm::Condition::all()
        .add(Column::Principal.eq(&request.principal))
        .add(Column::Route.eq(&request.route))
        .add(Column::IdempotencyKey.eq(&request.key))
}

impl Ticket {
    /// Does the work of the ticket, and renews the lease of its key for as long as that takes. For work that waits for others;
    /// what is one transaction ends in time without.
    pub fn hold<T>(&self, db: &Db, work: impl Future<Output = T>) -> impl Future<Output = T> {
        let work = Box::pin(work);
        async move {
            match &self.request {
                Some(request) => lease::keep(|| renew(db, request, self.resource_id), work).await,
                None => work.await,
            }
        }
    }

    /// Ties the first work under the key to it, as [`hold`] does, in a batch that is refused at this place if anything has happened to the key since
    /// it was given: then somebody may have begun the same work, and whoever goes on looks closely. So a slow owner cannot begin what its
    /// successor has begun, however long it slept. For tickets of keyed requests.
    pub fn hold_untouched_in(&self, batch: &mut Batch, lease_until: Timestamp) -> Place {
        let untouched = Column::LeaseUntilMs.eq(self.lease_until_ms);
        let place = batch.update(lease_of(self.resource_id, lease_until).filter(untouched).into_query());
        batch.must(place)
    }

    /// Stores the outcome in the transaction of the work. An error means that the transaction must not commit.
    pub async fn complete(&self, tx: &Tx, outcome: &impl Serialize) -> Result<(), IdempotencyError> {
        let mut batch = Batch::default();
        self.complete_in(&mut batch, outcome)?;
        match batch.run(tx.conn()).await? {
            Ran::Done(_) => Ok(()),
            Ran::Refused(_) => Err(IdempotencyError::TakenOver),
        }
    }

    /// The same in a batch, which is refused at this place if somebody has taken the key over.
    pub fn complete_in(
        &self,
        batch: &mut Batch,
        outcome: &impl Serialize,
    ) -> Result<Option<Place>, IdempotencyError> {
        let Some(request) = &self.request else {
            return Ok(None);
        };
        let outcome = serde_json::to_value(outcome)?;
        let update = Entity::update_many()
            .col_expr(Column::State, Expr::value(DONE))
            .col_expr(Column::Outcome, Expr::value(Some(outcome)))
            .filter(in_scope(request))
            .filter(Column::State.is_word(OPEN))
            .filter(Column::ResourceId.eq(self.resource_id));
        let place = batch.update(update.into_query());
        Ok(Some(batch.must(place)))
    }

    /// Forgets the key, so that the request may come again: for refusals of validation and for work that was undone.
    /// False if the ticket was no longer open.
    pub async fn withdraw(&self, db: &Db) -> Result<bool, DbErr> {
        match &self.request {
            Some(_) => withdraw(db, self.resource_id).await,
            None => Ok(true),
        }
    }
}

/// Closes the open key of a resource for good, by whatever worker found it. False if it was not open.
pub async fn withdraw(db: &Db, resource_id: Uuid) -> Result<bool, DbErr> {
    withdraw_in(db.writer(), resource_id).await
}

/// The same in a transaction of the caller's.
pub async fn withdraw_in(conn: &impl ConnectionTrait, resource_id: Uuid) -> Result<bool, DbErr> {
    let deleted = Entity::delete_many()
        .filter(Column::ResourceId.eq(resource_id))
        .filter(Column::State.is_word(OPEN))
        .exec(conn)
        .await?;
    Ok(deleted.rows_affected == 1)
}

/// Ties the work that a transaction begins to its key: the key is open, and stays so, because its lease is new. An error
/// means that the key was dropped meanwhile; without it the work could be begun twice, so it must not begin.
pub async fn hold(
    conn: &impl ConnectionTrait,
    resource_id: Uuid,
    lease_until: Timestamp,
) -> Result<(), IdempotencyError> {
    let held = set_lease(conn, resource_id, lease_until).await?;
    if held { Ok(()) } else { Err(IdempotencyError::TakenOver) }
}

/// Leaves an open key to whoever comes first, its client or a worker. Nothing happens if it is not open.
pub async fn let_go(conn: &impl ConnectionTrait, resource_id: Uuid, now: Timestamp) -> Result<(), DbErr> {
    set_lease(conn, resource_id, now).await.map(|_is_open| ())
}

async fn set_lease(
    conn: &impl ConnectionTrait,
    resource_id: Uuid,
    lease_until: Timestamp,
) -> Result<bool, DbErr> {
    Ok(lease_of(resource_id, lease_until).exec(conn).await?.rows_affected == 1)
}

fn lease_of(resource_id: Uuid, lease_until: Timestamp) -> UpdateMany<Entity> {
    Entity::update_many()
        .col_expr(Column::LeaseUntilMs, Expr::value(lease_until.ms()))
        .filter(Column::ResourceId.eq(resource_id))
        .filter(Column::State.is_word(OPEN))
}

/// Takes over what a crash left behind, for a worker: it does not wait. `None` if somebody else was faster.
pub async fn take_over_stale(db: &Db, row: &Model) -> Result<Option<Ticket>, DbErr> {
    let request = KeyedRequest {
        principal: row.principal.clone(),
        route: row.route.clone(),
        key: row.idempotency_key.clone(),
        request_hash: row.request_hash.clone(),
    };
    take_over(db, &request, row).await
}

/// The open keys of a route that nobody is expected to go on with ([`lease::left_behind`]): work that a crash left behind.
pub async fn stale(db: &Db, route_prefix: &str, limit: u64) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::State.is_word(OPEN))
        .filter(Column::LeaseUntilMs.lte(lease::left_behind(db.system().now()).ms()))
        .filter(Column::Route.starts_with(route_prefix))
        .order_by_asc(Column::LeaseUntilMs)
        .limit(limit)
        .all(db.reader())
        .await
}

/// The most keys that [`withdraw_stale`] closes in one run; the next run takes the next ones.
const WITHDRAWN_AT_ONCE: u64 = 100;

/// Closes the keys that a crash left open, of routes whose work is one transaction or idempotent by itself: nothing is
/// left of it but the key. Safe in several processes at once, and beside a retry: a ticket that was taken over
/// meanwhile cannot be completed any more, and its request comes again.
pub async fn withdraw_stale(db: &Db, route_prefix: &str) -> Result<(), DbErr> {
    for key in stale(db, route_prefix, WITHDRAWN_AT_ONCE).await? {
        withdraw(db, key.resource_id).await?;
    }
    Ok(())
}

/// Deletes outcomes older than [`KEEP`], a bounded number a call. Open rows stay for their worker.
pub(crate) async fn purge(db: &Db) -> Result<(), DbErr> {
    let before_ms = db.system().now().minus(KEEP).ms();
    let old: Vec<Uuid> = Entity::find()
        .select_only()
        .column(Column::ResourceId)
        .filter(Column::State.is_word(DONE))
        .filter(Column::CreatedAtMs.lt(before_ms))
        .limit(2_000)
        .into_tuple()
        .all(db.reader())
        .await?;
    if !old.is_empty() {
        Entity::delete_many().filter(Column::ResourceId.is_in(old)).exec(db.writer()).await?;
    }
    Ok(())
}
