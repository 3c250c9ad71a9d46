//! Transactions of one shape that come at the same time become one transaction.
//!
//! What a commit costs, the wait for the disk above all, is shared by all of them: databases call that group commit
//! (<https://www.postgresql.org/docs/current/runtime-config-wal.html#GUC-COMMIT-DELAY>), and this also shares the way to the server. It is for
//! transactions that are one [`Batch`] and rarely have a row in common, such as new orders; those that change the same row
//! ([`Batch::contends_for`]) become different ones. One whose gate is closed has done nothing, and the
//! others have. If a statement of one refuses that must write, or breaks a rule, nothing of all has happened, and each is tried by itself. So
//! none hears of another's fate, unless nobody knows what happened: then all hear that.
//!
//! A group holds its rows until the last of them is free and written, so somebody who sits on one of them holds up the others of that moment:
//! for as long as a statement waits for a lock, and then each goes by itself.
//!
//! Rejected: several orders in one transaction of several statements that locks stock, since those who wait for a row would wait for
//! all of that.

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

/// PostgreSQL in parts of 1, 2, 4 or 8: each number is a statement that the server plans and keeps. Those that contend for a row come one
/// after another, as they would anyway, and take no connection to wait. SQLite all at once, in turn.
async fn commit_all(writer: Connection, batches: Vec<Batch>) -> Vec<Ended> {
    if writer.get_database_backend() != DbBackend::Postgres {
        return commit_part(&writer, &batches.iter().collect::<Vec<_>>()).await;
    }
    let mut ended: Vec<(usize, Ended)> = Vec::with_capacity(batches.len());
    for round in without_contention(&batches) {
        let (places, batches): (Vec<usize>, Vec<&Batch>) = round.into_iter().unzip();
        let mut parts = Vec::new();
        let mut rest = batches.as_slice();
        while let Some(power) = rest.len().checked_ilog2() {
            let (part, others) = rest.split_at(1 << power);
            parts.push(commit_part(&writer, part));
            rest = others;
        }
        ended.extend(places.into_iter().zip(join_all(parts).await.into_iter().flatten()));
    }
    ended.sort_by_key(|(place, _)| *place);
    ended.into_iter().map(|(_, ended)| ended).collect()
}

/// Batches with their places, in rounds in which none contend for a row, each in the order in which rows are locked.
fn without_contention(batches: &[Batch]) -> Vec<Vec<(usize, &Batch)>> {
    let mut rounds: Vec<Vec<(usize, &Batch)>> = Vec::new();
    for (place, batch) in batches.iter().enumerate() {
        let row = batch.contended();
        let fits = |round: &&mut Vec<(usize, &Batch)>| {
            row.is_none() || round.iter().all(|(_, other)| other.contended() != row)
        };
        match rounds.iter_mut().find(fits) {
            Some(round) => round.push((place, batch)),
            None => rounds.push(vec![(place, batch)]),
        }
    }
    for round in &mut rounds {
        round.sort_by_key(|(_, batch)| batch.contended());
    }
    rounds
}

async fn commit_part(writer: &Connection, part: &[&Batch]) -> Vec<Ended> {
    match commit_as_one(writer, part).await {
        Ok(Ran::Done(each)) => each.into_iter().map(Ok).collect(),
        Ok(Ran::Refused(place)) if part.len() == 1 => vec![Ok(Ran::Refused(place))],
        Err(error) if part.len() == 1 || !has_undone_all(&error) => {
            part.iter().map(|_| Err(error.clone())).collect()
        }
        // Side by side: one of them may wait for a row that somebody holds. (SQLite has one connection that writes.)
        Ok(Ran::Refused(_)) | Err(_) => join_all(part.iter().map(|batch| commit_alone(writer, batch))).await,
    }
}

/// Whether the database has refused a statement, and so undone the transaction, for a reason that may be one batch's own, such as a row that
/// somebody holds for too long. Not so if it is out of reach, or gave up after `statement_timeout` (SQLSTATE 57014), as each batch would do
/// again.
fn has_undone_all(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))) = error
    else {
        return false;
    };
    let Some(refusal) = cause.as_database_error() else { return false };
    let has_ended = refusal
        .try_downcast_ref::<PgDatabaseError>()
        .is_some_and(|refusal| refusal.severity() != PgSeverity::Error);
    let waited_for_a_row = Outage::WAITED_FOR_A_ROW.contains(&refusal.code().as_deref().unwrap_or_default());
    !has_ended
        && (waited_for_a_row || refusal.code().as_deref() != Some("57014") && Outage::of(error).is_none())
}

async fn commit_alone(writer: &Connection, batch: &Batch) -> Ended {
    Ok(match commit_as_one(writer, &[batch]).await? {
        Ran::Refused(place) => Ran::Refused(place),
        Ran::Done(each) => each.into_iter().next().unwrap_or_else(|| Ran::Done(Done::default())),
    })
}

async fn commit_as_one(writer: &Connection, batches: &[&Batch]) -> Result<Ran<Vec<Ran<Done>>>, DbErr> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_that_contend_for_a_row_never_meet_and_rows_are_locked_in_order() {
        let batch = |row: Option<&str>| {
            let mut batch = Batch::default();
            row.into_iter().for_each(|row| batch.contends_for(row));
            batch
        };
        let rows = [Some("mug"), None, Some("cup"), Some("mug"), Some("bowl"), Some("mug"), None];
        let batches: Vec<Batch> = rows.into_iter().map(batch).collect();
        let rounds: Vec<Vec<usize>> = without_contention(&batches)
            .into_iter()
            .map(|round| round.into_iter().map(|(at, _)| at).collect())
            .collect();
        assert_eq!(rounds, [vec![1, 6, 4, 2, 0], vec![3], vec![5]]);
    }
}
