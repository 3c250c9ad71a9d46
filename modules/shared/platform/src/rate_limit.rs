//! How often one client may do what costs much: counters per rule and client address, in windows of one minute.
//!
//! The replicas of a shop count together in Redis. Without it, and while it is away, each process counts for itself: a
//! client then gets the limit of every replica, and nobody is turned away because a counter cannot be reached.
//!
//! A window begins with the first request in it, so the wait that is told is true: when it is over, the counter is gone.
//! Rejected: windows of the wall clock, as everyone's ends at the same moment and all come back at once; and a count of
//! each second, which keeps sixty numbers for each address to soften an edge that does not matter here.

use std::future::{Ready, ready};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use kernel::{Clock, Timestamp};
use moka::future::Cache as Moka;
use moka::ops::compute::Op;
use redis::Script;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::client_address::{client_address, counted_as};
use crate::problem::{Problem, codes};
use crate::shared_store::{Away, SharedStore};

const WINDOW: Duration = Duration::from_secs(60);
/// The most counters in memory; beyond it the least used are forgotten, in favour of the client.
const MAX_COUNTERS: u64 = 100_000;

/// A counter without an end, or with one that is too far away, is not ours: it is given ours.
static COUNT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local count = redis.call('INCR', KEYS[1]) \
         local left = redis.call('PTTL', KEYS[1]) \
         local window = tonumber(ARGV[1]) \
         if count == 1 or left < 0 or left > window then \
           redis.call('PEXPIRE', KEYS[1], window) left = window end \
         return {count, left}",
    )
});

/// Requests that one address may make in a minute; 0 is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Logins, whether they succeed or not.
    pub login_per_minute: u64,
    /// Registrations.
    pub register_per_minute: u64,
    /// Carts that are made for guests.
    pub guest_carts_per_minute: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { login_per_minute: 300, register_per_minute: 300, guest_carts_per_minute: 600 }
    }
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    Login,
    Registration,
    GuestCart,
}

impl Rule {
    fn name(self) -> &'static str {
        match self {
            Rule::Login => "login",
            Rule::Registration => "registration",
            Rule::GuestCart => "guest_cart",
        }
    }

    fn per_minute(self, settings: &Settings) -> u64 {
        match self {
            Rule::Login => settings.login_per_minute,
            Rule::Registration => settings.register_per_minute,
            Rule::GuestCart => settings.guest_carts_per_minute,
        }
    }
}

/// The client has used up what it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too many requests of this kind from one address")]
pub struct LimitReached {
    /// After this it may again.
    pub retry_after: Duration,
}

impl From<LimitReached> for Problem {
    fn from(reached: LimitReached) -> Self {
        // Rounded up: a client that waits exactly so long must get in.
        let seconds = reached.retry_after.as_millis().div_ceil(1_000).max(1);
        Problem::new(
            codes::TOO_MANY_REQUESTS,
            "Too many requests of this kind came from your address. Wait a while before you try again.",
        )
        .retry_after(u64::try_from(seconds).unwrap_or(u64::MAX))
    }
}

/// The counters of a process. The server keeps it as `web::Data`; without it nothing is limited.
pub struct RateLimiter {
    settings: Settings,
    clock: Arc<dyn Clock>,
    store: Option<SharedStore>,
    own: Moka<(Rule, IpAddr), Window>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    opened_at: Timestamp,
    count: u64,
}

impl RateLimiter {
    /// Counts in the store, if there is one.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>, store: Option<SharedStore>) -> Self {
        let own = Moka::builder().max_capacity(MAX_COUNTERS).time_to_idle(WINDOW.saturating_mul(2)).build();
        Self { settings, clock, store, own }
    }

    /// Counts one request of a client; refuses it if that is one too many.
    pub async fn count(&self, rule: Rule, client: IpAddr) -> Result<(), LimitReached> {
        let limit = rule.per_minute(&self.settings);
        if limit == 0 {
            return Ok(());
        }
        let client = counted_as(client);
        let (count, left) = match self.count_together(rule, client).await {
            Ok(counted) => counted,
            Err(Away) => self.count_alone(rule, client).await,
        };
        if count <= limit {
            return Ok(());
        }
        metrics::counter!("rate_limited_total", "rule" => rule.name()).increment(1);
        Err(LimitReached { retry_after: left })
    }

    async fn count_together(&self, rule: Rule, client: IpAddr) -> Result<(u64, Duration), Away> {
        let link = self.store.as_ref().and_then(SharedStore::link).ok_or(Away)?;
        let key = format!("limit:{}:{client}", rule.name());
        let window_ms = WINDOW.as_millis().to_string();
        let (count, left_ms): (u64, u64) = link.run(&COUNT, &[key], &[window_ms.as_bytes()]).await?;
        Ok((count, Duration::from_millis(left_ms)))
    }

    async fn count_alone(&self, rule: Rule, client: IpAddr) -> (u64, Duration) {
        let now = self.clock.now();
        let next = |window: Option<Window>| match window.filter(|window| now.since(window.opened_at) < WINDOW)
        {
            Some(window) => Window { count: window.count.saturating_add(1), ..window },
            None => Window { opened_at: now, count: 1 },
        };
        let counted = self
            .own
            .entry((rule, client))
            .and_compute_with(|entry| ready(Op::Put(next(entry.map(moka::Entry::into_value)))))
            .await;
        let window = counted.into_entry().map_or_else(|| next(None), moka::Entry::into_value);
        (window.count, WINDOW.saturating_sub(now.since(window.opened_at)))
    }
}

/// What one client may still do. As a handler argument it costs nothing; [`Allowance::spend`] counts.
#[derive(Clone)]
pub struct Allowance(Option<(Arc<RateLimiter>, IpAddr)>);

impl Allowance {
    /// Counts one request, and refuses it if it is one too many.
    pub async fn spend(&self, rule: Rule) -> Result<(), LimitReached> {
        match &self.0 {
            Some((limiter, client)) => limiter.count(rule, *client).await,
            None => Ok(()),
        }
    }
}

impl FromRequest for Allowance {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let limiter = request.app_data::<web::Data<RateLimiter>>();
        let counted = limiter.map(|limiter| limiter.clone().into_inner()).zip(client_address(request));
        ready(Ok(Self(counted)))
    }
}
