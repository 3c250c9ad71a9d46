//! The relay: takes events from a module's outbox to the bus, woken by each commit and polling as a net.
//!
//! Several processes may relay one outbox. Each claims rows for a while, in one statement that passes over what another is claiming
//! (`skip locked`), and only the oldest waiting event of an aggregate can be claimed, so an aggregate's events leave in order.
//! No lock is held while the bus works: a claim is a lease ([`crate::lease`]). A process that dies with claimed rows merely
//! lets the claim run out, and the event is published again; the inboxes make that harmless.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::event::Envelope;
use futures_util::StreamExt;
use kernel::Timestamp;
use rand::Rng;
use sea_orm::sea_query::{Expr, LockBehavior, LockType};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bus::{EventBus, PublishError};
use crate::db::Db;
use crate::failpoint::{self, Point};
use crate::key_list::padded;
use crate::lease::{self, LEASE};
use crate::outbox::{Column, Entity, Model};
use crate::problem::chain;
use crate::{idempotency, inbox};

/// How the relay paces itself.
#[derive(Debug, Clone, Copy)]
pub struct RelaySettings {
    /// Looks into the outbox this often even if no commit woke it.
    pub poll_every: Duration,
    /// Events claimed at once.
    pub batch: u64,
    /// The patience with a handler: the event then counts as not delivered.
    pub publish_within: Duration,
    /// After so many failures an event is set aside for an operator.
    pub max_attempts: i64,
    /// Published events and old inbox rows are deleted after this.
    pub keep_for: Duration,
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self {
            poll_every: Duration::from_secs(1),
            batch: 100,
            publish_within: Duration::from_secs(30),
            max_attempts: 1_000,
            keep_for: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// The relay of one module's outbox.
pub struct Relay {
    db: Db,
    bus: Arc<dyn EventBus>,
    settings: RelaySettings,
}

/// What became of one claimed event.
struct Outcome {
    seq: i64,
    /// This one included.
    attempts: i64,
    envelope: Envelope,
    result: Result<(), PublishError>,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default)]
struct Batch {
    published: usize,
    /// The bus took nothing at last.
    away: bool,
}

/// How long the relay leaves a bus alone that says it is ready and is not; half as much more or less, so that the relays of
/// many modules do not come back together.
const AWAY: Duration = Duration::from_secs(1);
/// Events whose publication is noted in one statement.
const NOTED_AT_ONCE: usize = 100;
const STILL_WAITING: &str = "published_at_ms IS NULL AND dead_at_ms IS NULL";
/// So many times the size of a batch is looked at to find one: several events may be of one aggregate.
const LOOK_AHEAD: u64 = 4;

impl Relay {
    /// From this outbox to this bus.
    pub fn new(db: Db, bus: Arc<dyn EventBus>, settings: RelaySettings) -> Self {
        Self { db, bus, settings }
    }

    /// Relays until told to stop; what is being published then is finished. While the bus is away nothing is claimed.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = self.bus.ready() => {}
                () = stop.cancelled() => return,
            }
            let batch = self.relay_batch().await.unwrap_or_else(|error| {
                tracing::warn!(module = self.db.module(), cause = %chain(&error), "the relay cannot read its outbox");
                Batch::default()
            });
            let pause = match batch {
                Batch { away: true, .. } => AWAY.mul_f64(rand::thread_rng().gen_range(0.5..1.5)),
                Batch { published: 0, .. } => self.settings.poll_every,
                Batch { .. } => continue,
            };
            tokio::select! {
                // Whoever emits cannot bring the bus back.
                () = self.db.emitted(), if !batch.away => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Publishes one batch; returns how many events left the outbox.
    pub async fn deliver_batch(&self) -> Result<usize, DbErr> {
        self.relay_batch().await.map(|batch| batch.published)
    }

    /// Two hands: one publishes, the other notes what was published, many rows at a time. They do not wait for each
    /// other: a handler that is in the middle of a transaction may hold the very connection that the note needs.
    async fn relay_batch(&self) -> Result<Batch, DbErr> {
        let claimed = self.claim().await?;
        let unanswered = Mutex::new(claimed.iter().map(|row| row.seq).collect::<BTreeSet<i64>>());
        let unanswered = &unanswered;
        let (report, mut reports) = mpsc::unbounded_channel();
        let publishing = async move {
            let report = &report;
            futures_util::stream::iter(claimed)
                .for_each_concurrent(self.bus.room(), |row| async move {
                    let outcome = self.publish(row).await;
                    lock(unanswered).remove(&outcome.seq);
                    // The other hand listens until this one is done.
                    let _heard = report.send(outcome);
                })
                .await;
        };
        let noting = async {
            let (mut batch, mut outcomes) = (Batch::default(), Vec::new());
            while reports.recv_many(&mut outcomes, NOTED_AT_ONCE).await > 0 {
                let published = self.note(&mut outcomes, &mut batch).await?;
                self.db.announce_relayed(&published);
            }
            Ok(batch)
        };
        // An error of the notes must not end the publishing halfway, hence no try_join.
        let both = async { tokio::join!(publishing, noting) };
        let ((), batch) = lease::keep(|| self.renew(lock(unanswered).clone()), both).await;
        batch
    }

    /// Keeps the claim on events that the bus has not answered for.
    async fn renew(&self, seqs: BTreeSet<i64>) -> Result<(), DbErr> {
        Entity::update_many()
            .col_expr(Column::ClaimedUntilMs, Expr::value(self.db.system().now().plus(LEASE).ms()))
            .filter(Column::Seq.is_in(padded(seqs)))
            .filter(Expr::cust(STILL_WAITING))
            .exec(self.db.writer())
            .await
            .map(|_| ())
    }

    async fn claim(&self) -> Result<Vec<Model>, DbErr> {
        let now = self.db.system().now();
        // A look without a lock first: an idle relay must not take SQLite's writer.
        let heads = self.heads(now).await?;
        if heads.is_empty() {
            return Ok(Vec::new());
        }
        let free = Entity::find()
            .select_only()
            .column(Column::Seq)
            .filter(Column::Seq.is_in(padded(heads)))
            .filter(Expr::cust(STILL_WAITING))
            .filter(Column::ClaimedUntilMs.lte(now.ms()))
            .order_by_asc(Column::Seq)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .into_query();
        let mut rows = Entity::update_many()
            .col_expr(Column::ClaimedUntilMs, Expr::value(now.plus(LEASE).ms()))
            .filter(Column::Seq.in_subquery(free))
            .exec_with_returning(self.db.writer())
            .await?;
        rows.sort_by_key(|row| row.seq);
        Ok(rows)
    }

    /// The oldest waiting event of each aggregate, where nobody has claimed it, oldest first. An older one cannot appear later:
    /// an aggregate's events are numbered in the order of its commits.
    ///
    /// Not a query with `NOT EXISTS`: PostgreSQL has no idea how many events wait, as usually none does, and reads all of them
    /// again for each when thousands do.
    async fn heads(&self, now: Timestamp) -> Result<Vec<i64>, DbErr> {
        let (mut aggregates, mut heads, mut after) = (HashSet::new(), Vec::new(), 0);
        loop {
            let page: Vec<(i64, Uuid, i64)> = Entity::find()
                .select_only()
                .columns([Column::Seq, Column::AggregateId, Column::ClaimedUntilMs])
                .filter(Expr::cust(STILL_WAITING))
                .filter(Column::Seq.gt(after))
                .order_by_asc(Column::Seq)
                .limit(self.settings.batch.saturating_mul(LOOK_AHEAD))
                .into_tuple()
                .all(self.db.reader())
                .await?;
            for (seq, aggregate_id, claimed_until_ms) in &page {
                if aggregates.insert(*aggregate_id) && *claimed_until_ms <= now.ms() {
                    heads.push(*seq);
                }
            }
            match page.last() {
                // All of these wait for another try; there may be others behind them.
                Some((seq, ..)) if heads.is_empty() => after = *seq,
                _ => break,
            }
        }
        heads.truncate(usize::try_from(self.settings.batch).unwrap_or(usize::MAX));
        Ok(heads)
    }

    async fn publish(&self, row: Model) -> Outcome {
        let (seq, attempts) = (row.seq, row.attempts + 1);
        let envelope = Envelope::from(row);
        failpoint::hit(Point::PublishBefore, || envelope.event_type.clone()).await;
        let result = tokio::time::timeout(self.settings.publish_within, self.bus.publish(&envelope))
            .await
            .unwrap_or_else(|_| Err(self.too_slow()));
        failpoint::hit(Point::PublishAfter, || envelope.event_type.clone()).await;
        Outcome { seq, attempts, envelope, result }
    }

    /// Returns the numbers of what was published. Another relay may have published an event since this one's claim ran out; then nothing is
    /// left to note.
    async fn note(&self, outcomes: &mut Vec<Outcome>, batch: &mut Batch) -> Result<Vec<i64>, DbErr> {
        let (mut published, mut waiting) = (Vec::new(), Vec::new());
        for outcome in outcomes.drain(..) {
            match &outcome.result {
                Ok(()) => {
                    metrics::counter!("events_published_total", "module" => self.db.module(),
                        "type" => outcome.envelope.event_type.clone())
                    .increment(1);
                    published.push(outcome.seq);
                }
                Err(PublishError::Away { cause }) => {
                    tracing::debug!(event.id = %outcome.envelope.id, cause, "an event waits for the message broker");
                    waiting.push(outcome.seq);
                }
                Err(error) => self.note_failure(&outcome, error).await?,
            }
        }
        if !waiting.is_empty() {
            batch.away = true;
            self.give_back(waiting).await?;
        }
        if !published.is_empty() {
            batch.published += published.len();
            Entity::update_many()
                .filter(Column::Seq.is_in(padded(published.iter().copied())))
                .filter(Column::PublishedAtMs.is_null())
                .col_expr(Column::PublishedAtMs, Expr::value(self.db.system().now().ms()))
                .col_expr(Column::LastError, Expr::value(None::<String>))
                .exec(self.db.writer())
                .await?;
            failpoint::hit(Point::PublishNoted, || self.db.module().to_owned()).await;
        }
        Ok(published)
    }

    /// These events can be claimed again at once, and this try does not count.
    async fn give_back(&self, seqs: Vec<i64>) -> Result<(), DbErr> {
        Entity::update_many()
            .filter(Column::Seq.is_in(padded(seqs)))
            .filter(Column::PublishedAtMs.is_null())
            .col_expr(Column::ClaimedUntilMs, Expr::value(0))
            .exec(self.db.writer())
            .await
            .map(|_| ())
    }

    async fn note_failure(&self, outcome: &Outcome, error: &PublishError) -> Result<(), DbErr> {
        let (attempts, envelope) = (outcome.attempts, &outcome.envelope);
        let now = self.db.system().now();
        let gave_up = attempts >= self.settings.max_attempts;
        tracing::warn!(event.id = %envelope.id, event.kind = %envelope.event_type, attempts, gave_up, cause = %error,
            "an event was not delivered");
        let mut update = Entity::update_many()
            .filter(Column::Seq.eq(outcome.seq))
            .filter(Column::PublishedAtMs.is_null())
            .col_expr(Column::Attempts, Expr::value(attempts))
            .col_expr(Column::LastError, Expr::value(Some(error.to_string())))
            .col_expr(Column::ClaimedUntilMs, Expr::value(now.plus(back_off(attempts)).ms()));
        if gave_up {
            metrics::counter!("events_dead_total", "module" => self.db.module()).increment(1);
            update = update.col_expr(Column::DeadAtMs, Expr::value(now.ms()));
        }
        update.exec(self.db.writer()).await.map(|_| ())
    }

    fn too_slow(&self) -> PublishError {
        PublishError::Failed {
            handler: "the bus".to_owned(),
            cause: format!("no answer within {} s", self.settings.publish_within.as_secs()),
        }
    }

    /// Deletes what nobody needs any more; at most a few thousand rows of each kind a call.
    pub async fn purge(&self) -> Result<(), DbErr> {
        let before_ms = self.db.system().now().minus(self.settings.keep_for).ms();
        let old: Vec<i64> = Entity::find()
            .select_only()
            .column(Column::Seq)
            .filter(Column::PublishedAtMs.lt(before_ms))
            .order_by_asc(Column::PublishedAtMs)
            .limit(2_000)
            .into_tuple()
            .all(self.db.reader())
            .await?;
        if !old.is_empty() {
            Entity::delete_many().filter(Column::Seq.is_in(old)).exec(self.db.writer()).await?;
        }
        inbox::purge(&self.db, before_ms).await?;
        idempotency::purge(&self.db).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 100 ms, doubled with each failure, 30 s at most.
fn back_off(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1).clamp(0, 9)).unwrap_or(9);
    Duration::from_millis(100).saturating_mul(2_u32.saturating_pow(doublings)).min(Duration::from_secs(30))
}
