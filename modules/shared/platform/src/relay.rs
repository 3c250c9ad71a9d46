//! The relay: takes events from a module's outbox to the bus, woken by each commit and polling as a net.
//!
//! Several processes may relay one outbox. Each claims rows for a while (`skip locked`, so they do not wait for one
//! another) and only the oldest waiting event of an aggregate can be claimed, so an aggregate's events leave in order.
//! No lock is held while the bus works: a claim is a time in the row. A process that dies with claimed rows merely lets
//! the claim run out, and the event is published again; the inboxes make that harmless.

use std::sync::Arc;
use std::time::Duration;

use contracts::event::Envelope;
use futures_util::StreamExt;
use sea_orm::sea_query::{Expr, LockBehavior, LockType};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use tokio_util::sync::CancellationToken;

use crate::bus::{EventBus, PublishError};
use crate::db::Db;
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
    /// Events of a batch that are published at the same time.
    pub in_flight: usize,
    /// A claim runs out after this, and so does the patience with a handler: the event then counts as not delivered.
    pub claim_for: Duration,
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
            in_flight: 8,
            claim_for: Duration::from_secs(30),
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

const STILL_WAITING: &str = "published_at_ms IS NULL AND dead_at_ms IS NULL";
const IS_HEAD_OF_ITS_AGGREGATE: &str = "NOT EXISTS (SELECT 1 FROM outbox AS earlier \
    WHERE earlier.aggregate_id = outbox.aggregate_id AND earlier.seq < outbox.seq \
    AND earlier.published_at_ms IS NULL AND earlier.dead_at_ms IS NULL)";

impl Relay {
    /// From this outbox to this bus.
    pub fn new(db: Db, bus: Arc<dyn EventBus>, settings: RelaySettings) -> Self {
        Self { db, bus, settings }
    }

    /// Relays until told to stop; what is being published then is finished.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let delivered = match self.deliver_batch().await {
                Ok(delivered) => delivered,
                Err(error) => {
                    tracing::warn!(module = self.db.module(), cause = %chain(&error), "the relay cannot read its outbox");
                    0
                }
            };
            if delivered == 0 {
                tokio::select! {
                    () = self.db.emitted() => {}
                    () = tokio::time::sleep(self.settings.poll_every) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    }

    /// Publishes one batch; returns how many events left the outbox.
    pub async fn deliver_batch(&self) -> Result<usize, DbErr> {
        let claimed = self.claim().await?;
        let outcomes: Vec<Result<bool, DbErr>> = futures_util::stream::iter(claimed)
            .map(|row| self.publish(row))
            .buffer_unordered(self.settings.in_flight)
            .collect()
            .await;
        self.db.announce_relayed();
        let mut published = 0;
        for outcome in outcomes {
            published += usize::from(outcome?);
        }
        Ok(published)
    }

    async fn claim(&self) -> Result<Vec<Model>, DbErr> {
        let now = self.db.system().now();
        let claimable = Entity::find()
            .filter(Expr::cust(STILL_WAITING))
            .filter(Column::ClaimedUntilMs.lte(now.ms()))
            .filter(Expr::cust(IS_HEAD_OF_ITS_AGGREGATE))
            .order_by_asc(Column::Seq)
            .limit(self.settings.batch);
        // A look without a lock first: an idle relay must not take SQLite's writer.
        if claimable.clone().limit(1).one(self.db.reader()).await?.is_none() {
            return Ok(Vec::new());
        }
        let tx = self.db.begin().await?;
        let rows =
            claimable.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked).all(tx.conn()).await?;
        Entity::update_many()
            .col_expr(Column::ClaimedUntilMs, Expr::value(now.plus(self.settings.claim_for).ms()))
            .filter(Column::Seq.is_in(rows.iter().map(|row| row.seq)))
            .exec(tx.conn())
            .await?;
        tx.commit().await?;
        Ok(rows)
    }

    async fn publish(&self, row: Model) -> Result<bool, DbErr> {
        let (seq, attempts) = (row.seq, row.attempts + 1);
        let envelope = Envelope::from(row);
        let outcome = tokio::time::timeout(self.settings.claim_for, self.bus.publish(&envelope))
            .await
            .unwrap_or_else(|_| Err(self.too_slow()));
        let now = self.db.system().now();
        // Another relay may have published it since this claim ran out; then nothing is left to note.
        let mut update =
            Entity::update_many().filter(Column::Seq.eq(seq)).filter(Column::PublishedAtMs.is_null());
        update = match &outcome {
            Ok(()) => update
                .col_expr(Column::PublishedAtMs, Expr::value(now.ms()))
                .col_expr(Column::LastError, Expr::value(None::<String>)),
            Err(error) => {
                let gave_up = attempts >= self.settings.max_attempts;
                tracing::warn!(event.id = %envelope.id, event.kind = %envelope.event_type, attempts, gave_up, cause = %error,
                    "an event was not delivered");
                let update = update
                    .col_expr(Column::Attempts, Expr::value(attempts))
                    .col_expr(Column::LastError, Expr::value(Some(error.to_string())))
                    .col_expr(Column::ClaimedUntilMs, Expr::value(now.plus(back_off(attempts)).ms()));
                if gave_up { update.col_expr(Column::DeadAtMs, Expr::value(now.ms())) } else { update }
            }
        };
        update.exec(self.db.writer()).await?;
        Ok(outcome.is_ok())
    }

    fn too_slow(&self) -> PublishError {
        PublishError {
            handler: "the bus".to_owned(),
            cause: format!("no answer within {} s", self.settings.claim_for.as_secs()),
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

/// 100 ms, doubled with each failure, 30 s at most.
fn back_off(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1).clamp(0, 9)).unwrap_or(9);
    Duration::from_millis(100).saturating_mul(2_u32.saturating_pow(doublings)).min(Duration::from_secs(30))
}
