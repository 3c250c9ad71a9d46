//! Which suspicions count. A live shop moves: one book is ahead of the other until an event has been handled, and a page of one is read
//! before the page of the other. So the doctor looks again, and a suspicion counts only if
//!
//! 1. both sides stayed as they were for [`SETTLED`], look after look, and
//! 2. no event explains it: none of the order or the payment waits in an outbox, and none for the module in its queue. Events that
//!    wait for longer than five minutes explain nothing any more; another check names them.
//!
//! What keeps changing for [`LONGEST`] times as long is not judged, and the doctor says so; the next examination will.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use platform::doctor::{Examiner, OUTBOX_BOUND, on_their_way};
use platform::module::{AnyError, Check};
use platform::problem::chain;
use platform::rabbit;
use tokio::time::Instant;
use uuid::Uuid;

use crate::doctor::books::{Books, Comparison, Suspicion};
use crate::doctor::{SHOP, Unchecked, most};

/// For so long a difference must stay the same, unless somebody has less time.
pub(super) const SETTLED: Duration = Duration::from_secs(10);
/// Differences that keep changing are looked at for so many times as long.
const LONGEST: u32 = 3;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);
/// Suspicions of one comparison that are followed up. When there are more, the rest of the books is not judged, and the doctor says so.
const FOLLOWED: usize = 500;

/// A difference, and since when it is as it is.
struct Pending {
    comparison: Comparison,
    suspicion: Suspicion,
    since: Instant,
}

/// Compares the books that are there. Gives each comparison that was possible, or why it was not.
pub(super) async fn compare(
    books: &Books,
    examiners: &[Arc<dyn Examiner>],
    broker: Option<&rabbit::Options>,
    settled: Duration,
) -> (Vec<Check>, Vec<Unchecked>) {
    let possible: Vec<Comparison> = Comparison::ALL.into_iter().filter(|it| it.is_possible(books)).collect();
    let looked = join_all(possible.iter().map(|comparison| first_look(*comparison, books))).await;
    let (mut made, mut pending, mut unchecked) = (Vec::new(), Vec::new(), Vec::new());
    for (comparison, suspicions) in possible.into_iter().zip(looked) {
        match suspicions {
            Ok((suspicions, is_whole)) => {
                made.push(comparison);
                pending.extend(suspicions);
                if !is_whole {
                    unchecked.push(unjudged(comparison, "there are too many differences to follow them all"));
                }
            }
            Err(error) => unchecked.push(unread(comparison, &error)),
        }
    }
    let begun = Instant::now();
    while begun.elapsed() < settled * LONGEST && pending.iter().any(|it| it.since.elapsed() < settled) {
        tokio::time::sleep(PAUSE).await;
        match look_again(&pending, books).await {
            Ok(still) => pending = still,
            Err((comparison, error)) => {
                // Without another look nothing of it may count.
                unchecked.push(unread(comparison, &error));
                made.retain(|it| *it != comparison);
                pending.retain(|it| it.comparison != comparison);
            }
        }
    }
    for comparison in Comparison::ALL {
        if pending.iter().any(|it| it.comparison == comparison && it.since.elapsed() < settled) {
            unchecked.push(unjudged(comparison, "some differences changed all the time"));
        }
    }
    pending.retain(|it| it.since.elapsed() >= settled);
    match explained(&pending, examiners, broker).await {
        // Once more: an event that was handled since the last look explains nothing any more, but has changed what it was about.
        Ok(explained) => {
            let left = unexplained(pending, &explained);
            match look_again(&left, books).await {
                Ok(still) => pending = still.into_iter().filter(|it| it.since.elapsed() >= settled).collect(),
                Err((_, error)) => {
                    let is_left =
                        |comparison: &Comparison| left.iter().any(|it| it.comparison == *comparison);
                    unchecked.extend(made.extract_if(.., |it| is_left(it)).map(|it| unread(it, &error)));
                    pending = Vec::new();
                }
            }
        }
        Err(error) => {
            // An event that nobody could look for may explain all of it.
            let cause = format!("it is unknown which events are on their way: {}", chain(error.as_ref()));
            unchecked.push(Unchecked { module: SHOP, cause });
            made.retain(|it| !pending.iter().any(|pending| pending.comparison == *it));
        }
    }
    (made.into_iter().map(|comparison| verdict(comparison, &pending)).collect(), unchecked)
}

fn unread(comparison: Comparison, error: &AnyError) -> Unchecked {
    Unchecked { module: SHOP, cause: format!("{}: {}", comparison.name(), chain(error.as_ref())) }
}

fn unjudged(comparison: Comparison, why: &str) -> Unchecked {
    Unchecked { module: SHOP, cause: format!("{}: {why}; look again later", comparison.name()) }
}

fn verdict(comparison: Comparison, pending: &[Pending]) -> Check {
    let its = pending.iter().filter(|it| it.comparison == comparison);
    let named = its.map(|it| it.suspicion.what.clone()).take(most()).collect();
    Check::new(comparison.name(), comparison.promise(), named)
}

/// The differences, and whether these are all.
async fn first_look(comparison: Comparison, books: &Books) -> Result<(Vec<Pending>, bool), AnyError> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let looked = comparison.page(books, after).await?;
        let since = Instant::now();
        found.extend(looked.suspicions.into_iter().map(|suspicion| Pending { comparison, suspicion, since }));
        match looked.last {
            Some(last) if found.len() < FOLLOWED => after = Some(last),
            rest => return Ok((found, rest.is_none())),
        }
    }
}

/// What is as it was keeps its age; what has changed begins anew.
async fn look_again(pending: &[Pending], books: &Books) -> Result<Vec<Pending>, (Comparison, AnyError)> {
    let mut still = Vec::new();
    for comparison in Comparison::ALL {
        let before: Vec<&Pending> = pending.iter().filter(|it| it.comparison == comparison).collect();
        if before.is_empty() {
            continue;
        }
        let subjects: Vec<Uuid> = before.iter().map(|it| it.suspicion.subject).collect();
        let again = comparison.again(books, &subjects).await.map_err(|error| (comparison, error))?;
        still.extend(again.into_iter().map(|suspicion| {
            let same = before.iter().find(|it| it.suspicion == suspicion);
            let since = same.map_or_else(Instant::now, |it| it.since);
            Pending { comparison, suspicion, since }
        }));
    }
    Ok(still)
}

/// What is on its way.
struct Explained {
    /// Orders and payments of which an event waits in an outbox.
    aggregates: BTreeSet<Uuid>,
    /// Modules for which an event waits in their queue.
    followers: BTreeSet<&'static str>,
    /// What changed before is too old for that.
    recent_ms: i64,
}

async fn explained(
    pending: &[Pending],
    examiners: &[Arc<dyn Examiner>],
    broker: Option<&rabbit::Options>,
) -> Result<Explained, AnyError> {
    let mut explained = Explained { aggregates: BTreeSet::new(), followers: BTreeSet::new(), recent_ms: 0 };
    let Some(examiner) = examiners.first().filter(|_| !pending.is_empty()) else { return Ok(explained) };
    explained.recent_ms = examiner.db().system().now().minus(OUTBOX_BOUND).ms();
    let aggregates: BTreeSet<Uuid> =
        pending.iter().flat_map(|it| &it.suspicion.aggregates).copied().collect();
    let aggregates: Vec<Uuid> = aggregates.into_iter().collect();
    for examiner in examiners {
        for some in aggregates.chunks(FOLLOWED) {
            explained.aggregates.extend(on_their_way(examiner.db(), some).await?);
        }
    }
    if let Some(options) = broker {
        let waiting = rabbit::waiting(options).await?;
        explained.followers =
            waiting.into_iter().filter(|(_, number)| *number > 0).map(|(it, _)| it).collect();
    }
    Ok(explained)
}

fn unexplained(pending: Vec<Pending>, explained: &Explained) -> Vec<Pending> {
    let is_explained = |it: &Pending| {
        let Suspicion { aggregates, changed_at, .. } = &it.suspicion;
        aggregates.iter().any(|id| explained.aggregates.contains(id))
            || (changed_at.ms() >= explained.recent_ms
                && it.comparison.followers().iter().any(|module| explained.followers.contains(module)))
    };
    pending.into_iter().filter(|it| !is_explained(it)).collect()
}
