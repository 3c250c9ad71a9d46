//! Transactions of one shape that come at the same time become one transaction.
//!
//! What a commit costs, the wait for the disk above all, is shared by all of them: databases call that group commit
//! (<https://www.postgresql.org/docs/current/runtime-config-wal.html#GUC-COMMIT-DELAY>), and this also shares the way to the server. It is for
//! transactions that are one [`Batch`] and rarely have a row in common, such as new orders. One whose gate is closed has done nothing, and the
//! others have. If a statement of one refuses that must write, or breaks a rule, nothing of all has happened, and each is tried by itself. So
//! none hears of another's fate, unless nobody knows what happened: then all hear that.
//!
//! Rejected: several orders in one transaction that locks stock, since those who wait for a row would wait for all of them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use futures_util::future::join_all;
use sea_orm::sqlx::postgres::{PgDatabaseError, PgSeverity};
use sea_orm::{ConnAcquireErr, ConnectionTrait, DbBackend, DbErr, RuntimeErr};

use crate::batch::{Batch, Done, Ran};
use crate::connection::Connection;
use crate::gather::Gather;
use crate::problem::Outage;
use crate::system::System;

/// The most transactions that become one.
const MOST: usize = 8;
/// While one commits, the next ones meet: more at a time would be smaller groups.
const AT_ONCE: usize = 1;

/// What batches have in common that are the same statements with other values: what they are for, and how many rows of the kind that
/// varies. Each shape is prepared by the server, so there are to be few.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape(pub &'static str, pub usize);

type Ended = Result<Ran<Done>, DbErr>;

/// The groups of one database.
#[derive(Default)]
pub(crate) struct GroupCommit {
    groups: Mutex<HashMap<Shape, Gather<Batch, Ended>>>,
}

impl GroupCommit {
    /// Commits a batch with those of its shape that come at the same time.
    pub(crate) async fn commit(
        &self,
        shape: Shape,
        batch: Batch,
        writer: &Connection,
        system: &System,
    ) -> Ended {
        let group = {
            let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
            let open = || {
                let writer = writer.clone();
                Gather::new(system, MOST, AT_ONCE, move |batches| commit_all(writer.clone(), batches))
            };
            groups.entry(shape).or_insert_with(open).clone()
        };
        let ended = || Err(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed));
        group.ask(batch).await.unwrap_or_else(ended)
    }
}

/// PostgreSQL in parts of 1, 2, 4 or 8: each number is a statement that the server plans and keeps. SQLite all at once.
async fn commit_all(writer: Connection, batches: Vec<Batch>) -> Vec<Ended> {
    if writer.get_database_backend() != DbBackend::Postgres {
        return commit_part(&writer, &batches).await;
    }
    let mut parts = Vec::new();
    let mut rest = batches.as_slice();
    while let Some(power) = rest.len().checked_ilog2() {
        let (part, others) = rest.split_at(1 << power);
        parts.push(commit_part(&writer, part));
        rest = others;
    }
    join_all(parts).await.into_iter().flatten().collect()
}

async fn commit_part(writer: &Connection, part: &[Batch]) -> Vec<Ended> {
    match commit_as_one(writer, part).await {
        Ok(Ran::Done(each)) => each.into_iter().map(Ok).collect(),
        Ok(Ran::Refused(place)) if part.len() == 1 => vec![Ok(Ran::Refused(place))],
        Err(error) if part.len() == 1 || !has_undone_all(&error) => {
            part.iter().map(|_| Err(error.clone())).collect()
        }
        Ok(Ran::Refused(_)) | Err(_) => {
            let mut ended = Vec::with_capacity(part.len());
            for batch in part {
                ended.push(commit_alone(writer, batch).await);
            }
            ended
        }
    }
}

/// Whether the database has refused a statement, and so undone the transaction, for a reason that may be one batch's own. Not so if it is out of
/// reach, or gave up after `statement_timeout` (SQLSTATE 57014), as each batch would do again.
fn has_undone_all(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))) = error
    else {
        return false;
    };
    let Some(refusal) = cause.as_database_error() else { return false };
    let has_ended = refusal
        .try_downcast_ref::<PgDatabaseError>()
        .is_some_and(|refusal| refusal.severity() != PgSeverity::Error);
    !has_ended && refusal.code().as_deref() != Some("57014") && Outage::of(error).is_none()
}

async fn commit_alone(writer: &Connection, batch: &Batch) -> Ended {
    Ok(match commit_as_one(writer, std::slice::from_ref(batch)).await? {
        Ran::Refused(place) => Ran::Refused(place),
        Ran::Done(each) => each.into_iter().next().unwrap_or_else(|| Ran::Done(Done::default())),
    })
}

async fn commit_as_one(writer: &Connection, batches: &[Batch]) -> Result<Ran<Vec<Ran<Done>>>, DbErr> {
    if writer.get_database_backend() == DbBackend::Postgres {
        return Batch::run_all(batches, writer).await;
    }
    let tx = writer.begin().await?;
    let ran = Batch::run_all(batches, &tx).await?;
    match ran {
        Ran::Refused(_) => tx.rollback().await?,
        Ran::Done(_) => tx.commit().await?,
    }
    Ok(ran)
}
