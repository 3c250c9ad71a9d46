//! Questions to a database that come at the same time go together.
//!
//! While some are under way, those who come wait and are the next to go. So one that comes alone is asked at once, and of a hundred
//! that come together each pays a hundredth of the way. Nothing is remembered: a question is asked after it came, so a read sees
//! what was committed before it.
//!
//! Rejected: waiting a little for others to come, which makes everybody late who comes alone.

use std::collections::HashMap;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use sea_orm::{ConnAcquireErr, DbErr};
use tokio::sync::{mpsc, oneshot};

use crate::system::System;

/// Who may wait; more wait to be let in.
const MOST_WAITING: usize = 1_024;

struct Question<Q, A> {
    question: Q,
    answer: oneshot::Sender<A>,
}

/// Where questions of one kind meet.
pub struct Gather<Q, A> {
    questions: mpsc::Sender<Question<Q, A>>,
}

impl<Q, A> Clone for Gather<Q, A> {
    fn clone(&self) -> Self {
        Self { questions: self.questions.clone() }
    }
}

impl<Q: Send + 'static, A: Send + 'static> Gather<Q, A> {
    /// `ask` is given at most `most` questions, and gives as many answers in their order. It is `at_once` times under way at the same
    /// time at most, and lives until nobody asks any more.
    pub fn new<F>(
        system: &System,
        most: usize,
        at_once: usize,
        ask: impl Fn(Vec<Q>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Vec<A>> + Send + 'static,
    {
        let (questions, mut asked) = mpsc::channel::<Question<Q, A>>(MOST_WAITING);
        system.run(async move {
            let mut under_way = FuturesUnordered::new();
            let mut next = Vec::new();
            loop {
                tokio::select! {
                    came = asked.recv_many(&mut next, most), if under_way.len() < at_once => {
                        if came == 0 {
                            break;
                        }
                        let (questions, waiting): (Vec<Q>, Vec<_>) =
                            next.drain(..).map(|asked| (asked.question, asked.answer)).unzip();
                        under_way.push(company(AssertUnwindSafe(ask(questions)).catch_unwind(), waiting));
                    }
                    Some(()) = under_way.next() => {}
                }
            }
            while under_way.next().await.is_some() {}
        });
        Self { questions }
    }

    /// The answer to one question; `None` if the process ends, or whoever answers panics.
    pub async fn ask(&self, question: Q) -> Option<A> {
        let (answer, answered) = oneshot::channel();
        self.questions.send(Question { question, answer }).await.ok()?;
        answered.await.ok()
    }
}

async fn company<A>(
    asking: impl Future<Output = std::thread::Result<Vec<A>>>,
    waiting: Vec<oneshot::Sender<A>>,
) {
    // A panic is the end of this company, not of all that come after it.
    let Ok(answers) = asking.await else {
        tracing::error!("a question to the database panicked");
        return;
    };
    for (answer, waiting) in answers.into_iter().zip(waiting) {
        // Whoever does not listen any more has gone away.
        let _heard = waiting.send(answer);
    }
}

/// The most keys of one query.
const MOST_KEYS: usize = 64;
/// Queries that are under way at the same time: a slow one does not hold up everybody.
const READS_AT_ONCE: usize = 2;

/// A way to read one kind of thing by its key.
pub struct Reads<K, V>(Gather<K, Result<Option<V>, DbErr>>);

impl<K, V> Reads<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + 'static,
{
    /// `read` is given different keys, at most 64, and gives what there is of them.
    pub fn new<F>(system: &System, read: impl Fn(Vec<K>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<HashMap<K, V>, DbErr>> + Send + 'static,
    {
        Self(Gather::new(system, MOST_KEYS, READS_AT_ONCE, move |asked: Vec<K>| {
            let mut keys: Vec<K> = Vec::with_capacity(asked.len());
            for key in &asked {
                if !keys.contains(key) {
                    keys.push(key.clone());
                }
            }
            let found = read(keys);
            async move {
                let found = found.await;
                let own = |key: &K| found.as_ref().map(|found| found.get(key).cloned()).map_err(DbErr::clone);
                asked.iter().map(own).collect()
            }
        }))
    }

    /// What there is under a key; `None` if there is nothing.
    pub async fn get(&self, key: K) -> Result<Option<V>, DbErr> {
        self.0.ask(key).await.unwrap_or(Err(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn who_comes_while_a_query_is_under_way_is_the_next_query() {
        let (gate, asked) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (opened, noted) = (gate.clone(), asked.clone());
        let gather = Reads::new(&System::real(), move |keys: Vec<u32>| {
            noted.lock().unwrap().push(keys.clone());
            let opened = opened.clone();
            async move {
                opened.acquire().await.unwrap().forget();
                Ok(keys.into_iter().filter(|key| *key < 100).map(|key| (key, key * 2)).collect())
            }
        });
        let gather = &gather;
        let wait_for = |queries: usize| {
            let asked = asked.clone();
            async move {
                while asked.lock().unwrap().len() < queries {
                    tokio::task::yield_now().await;
                }
            }
        };
        let first = async { gather.get(1).await };
        let second = async {
            wait_for(1).await;
            gather.get(2).await
        };
        let others = async {
            wait_for(2).await;
            let all = futures_util::future::join_all([3, 4, 3, 500].map(|key| gather.get(key)));
            let open = async {
                tokio::task::yield_now().await;
                gate.add_permits(3);
            };
            tokio::join!(all, open).0
        };
        let (first, second, others) = tokio::join!(first, second, others);
        assert_eq!((first.unwrap(), second.unwrap()), (Some(2), Some(4)));
        let others: Vec<_> = others.into_iter().map(Result::unwrap).collect();
        assert_eq!(others, [Some(6), Some(8), Some(6), None]);
        assert_eq!(*asked.lock().unwrap(), [vec![1], vec![2], vec![3, 4, 500]]);
    }

    #[tokio::test]
    async fn everybody_hears_of_a_failure_and_the_next_ones_are_read_again() {
        let fails = Arc::new(Mutex::new(true));
        let failing = fails.clone();
        let gather = Reads::new(&System::real(), move |keys: Vec<u32>| {
            let fails = std::mem::take(&mut *failing.lock().unwrap());
            async move {
                match fails {
                    true => Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)),
                    false => Ok(keys.into_iter().map(|key| (key, ())).collect()),
                }
            }
        });
        assert!(gather.get(1).await.is_err());
        assert_eq!(gather.get(1).await.unwrap(), Some(()));
    }
}
