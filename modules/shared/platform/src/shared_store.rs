//! What the replicas of a shop keep in common and can lose at any time: a small client of Redis.
//!
//! One task keeps one connection and is the only one that connects. While there is none, a caller is told so at once;
//! while there is one, a call that fails or takes longer than `PATIENCE` takes the connection out of service for all.
//! So Redis that is gone costs nothing, and Redis that hangs costs each caller at most one short wait.
//!
//! Rejected: `redis::aio::ConnectionManager`. It connects anew on its own, unseen, but whoever trusts what it finds here
//! must know that this is another connection: the server behind it may have been restarted from an old snapshot.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisError, Script};
use thiserror::Error;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::problem::chain;

/// How long a call may take. On a network of one's own Redis answers in less than one millisecond.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long a connection may take to come about; nobody waits for it.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// The pause after a connection was lost, doubled with each failure.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A connection that held so long was no mere flicker: the pauses begin from the first again.
const STEADY_AFTER: Duration = Duration::from_secs(10);

/// Where the store is. Without `Debug`: the address may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Options {
    /// `redis://user:password@host:6379/0`.
    pub url: String,
    /// The beginning of every key: several shops may share a server.
    pub prefix: String,
}

/// The address names no store.
#[derive(Debug, Error)]
#[error("redis.url cannot be used")]
pub struct AddressError(#[from] RedisError);

/// The store did not do as asked. Whoever asked goes on without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the shared store does not answer")]
pub struct Away;

/// A store in Redis. Clones share one connection, which is given up with the last of them.
#[derive(Clone)]
pub struct SharedStore {
    state: Arc<State>,
    _keeper: Arc<DropGuard>,
}

struct State {
    prefix: String,
    patience: Duration,
    current: RwLock<Current>,
    lost: Notify,
    /// Whether a refusal by the present server was logged.
    complained: AtomicBool,
}

#[derive(Default)]
struct Current {
    /// How many connections there were.
    number: u64,
    connection: Option<MultiplexedConnection>,
}

impl SharedStore {
    /// Begins to connect; Redis may come up later. Call it on the runtime that is to keep the connection: not on the
    /// thread of a request.
    pub fn open(options: &Options) -> Result<Self, AddressError> {
        Self::open_patiently(options, PATIENCE)
    }

    /// The same, where a call may take longer: for tests on a machine that has much else to do.
    pub fn open_patiently(options: &Options, patience: Duration) -> Result<Self, AddressError> {
        let client = Client::open(options.url.as_str())?;
        let state = Arc::new(State {
            prefix: options.prefix.clone(),
            patience,
            current: RwLock::default(),
            lost: Notify::new(),
            complained: AtomicBool::new(false),
        });
        let stop = CancellationToken::new();
        let keeper = stop.clone().drop_guard();
        let work = Keeper { state: state.clone(), client, pause: FIRST_PAUSE, away: false };
        tokio::spawn(async move { stop.run_until_cancelled(work.run()).await });
        Ok(Self { state, _keeper: Arc::new(keeper) })
    }

    /// The connection of now; `None` while there is none.
    pub fn link(&self) -> Option<Link> {
        let current = self.state.current.read().unwrap_or_else(PoisonError::into_inner);
        let connection = current.connection.clone()?;
        Some(Link { state: self.state.clone(), number: current.number, connection })
    }
}

/// One connection to the store.
#[derive(Clone)]
pub struct Link {
    state: Arc<State>,
    number: u64,
    connection: MultiplexedConnection,
}

impl Link {
    /// Counts the connections of this process. With another number the store may have another content.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Runs a script, which is atomic, on some keys; the prefix comes before each of them.
    pub async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[&[u8]],
    ) -> Result<T, Away> {
        let mut call = script.prepare_invoke();
        for key in keys {
            call.key(format!("{}:{key}", self.state.prefix));
        }
        for argument in arguments {
            call.arg(*argument);
        }
        // A caller with several things to say waits for a silent server once, not each time.
        if !self.state.is_in_service(self.number) {
            return Err(Away);
        }
        let mut connection = self.connection.clone();
        match tokio::time::timeout(self.state.patience, call.invoke_async(&mut connection)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if is_a_refusal(&error) => {
                // Out of memory, a value of another type: the connection is sound. The next server is heard again.
                if !self.state.complained.swap(true, Ordering::Relaxed) {
                    tracing::warn!(cause = %chain(&error), "Redis refuses a command; the shop goes on without it");
                }
                Err(Away)
            }
            Ok(Err(error)) => {
                self.state.give_up(self.number, &chain(&error));
                Err(Away)
            }
            Err(_) => {
                self.state.give_up(self.number, "no answer in time");
                Err(Away)
            }
        }
    }
}

fn is_a_refusal(error: &RedisError) -> bool {
    use redis::ErrorKind::{Extension, Server, UnexpectedReturnType};
    matches!(error.kind(), Server(_) | Extension | UnexpectedReturnType)
}

impl State {
    /// Takes a connection out of service, once.
    fn give_up(&self, number: u64, cause: &str) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.number == number && current.connection.take().is_some() {
            drop(current);
            metrics::gauge!("shared_store_up").set(0.0);
            tracing::debug!(cause, "the connection to Redis was given up");
            self.lost.notify_one();
        }
    }

    fn is_in_service(&self, number: u64) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.number == number && current.connection.is_some()
    }

    fn put_in_service(&self, connection: MultiplexedConnection) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        current.number += 1;
        current.connection = Some(connection);
        drop(current);
        self.complained.store(false, Ordering::Relaxed);
        metrics::gauge!("shared_store_up").set(1.0);
    }
}

/// The one who connects.
struct Keeper {
    state: Arc<State>,
    client: Client,
    pause: Duration,
    /// Whether it was logged that there is no connection.
    away: bool,
}

impl Keeper {
    async fn run(mut self) {
        loop {
            match connect(&self.client).await {
                Ok(connection) => self.hold(connection).await,
                Err(cause) => self.say_away(&cause),
            }
            tokio::time::sleep(self.pause).await;
            self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    async fn hold(&mut self, connection: MultiplexedConnection) {
        if std::mem::take(&mut self.away) {
            tracing::info!("Redis answers again");
        }
        let since = Instant::now();
        self.state.put_in_service(connection);
        self.state.lost.notified().await;
        if since.elapsed() >= STEADY_AFTER {
            self.pause = FIRST_PAUSE;
        }
        self.say_away("the connection was lost");
    }

    /// Once an outage.
    fn say_away(&mut self, cause: &str) {
        if !std::mem::replace(&mut self.away, true) {
            tracing::warn!(cause, "Redis does not answer; counters and cached products stay in this process");
        }
    }
}

async fn connect(client: &Client) -> Result<MultiplexedConnection, String> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_WITHIN))
        .set_response_timeout(Some(CONNECT_WITHIN));
    let connected = async {
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        redis::cmd("PING").query_async::<()>(&mut connection).await?;
        Ok::<_, RedisError>(connection)
    };
    match tokio::time::timeout(CONNECT_WITHIN, connected).await {
        Ok(connected) => connected.map_err(|error| chain(&error)),
        Err(_) => Err("no answer in time".to_owned()),
    }
}
