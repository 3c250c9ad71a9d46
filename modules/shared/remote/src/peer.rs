//! A module elsewhere: its addresses, and what is known of each.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use reqwest::Url;
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::breaker::{Admission, Breaker};
use crate::caller::Caller;

/// A module that runs in another process, at one address or at several.
#[derive(Clone)]
pub struct Peer {
    pub(crate) caller: Arc<Caller>,
    pub(crate) module: &'static str,
    addresses: Arc<[Arc<Address>]>,
    /// Whose turn it is: calls go round.
    turn: Arc<AtomicUsize>,
}

/// Why addresses cannot be used.
#[derive(Debug, Error)]
pub enum PeerError {
    #[error("{module} runs elsewhere, but no address says where")]
    None { module: &'static str },
    #[error(
        "`{address}` is no address of {module}; one is `http://host:port`, and commas stand between several"
    )]
    Malformed { module: &'static str, address: String },
    #[error("`{address}` of {module} asks for TLS, which this program does not speak between its processes")]
    Tls { module: &'static str, address: String },
}

/// One replica.
pub(crate) struct Address {
    pub(crate) url: Url,
    module: &'static str,
    breaker: Mutex<Breaker>,
    pub(crate) slots: Semaphore,
}

impl Peer {
    pub(crate) fn new(caller: Arc<Caller>, module: &'static str, addresses: &str) -> Result<Self, PeerError> {
        let slots = caller.options.calls_at_once.clamp(1, Semaphore::MAX_PERMITS);
        let addresses: Arc<[Arc<Address>]> = addresses
            .split(',')
            .map(str::trim)
            .filter(|address| !address.is_empty())
            .map(|address| {
                let url = parse(module, address)?;
                let breaker = Mutex::new(Breaker::new());
                Ok(Arc::new(Address { url, module, breaker, slots: Semaphore::new(slots) }))
            })
            .collect::<Result<_, PeerError>>()?;
        if addresses.is_empty() {
            return Err(PeerError::None { module });
        }
        Ok(Self { caller, module, addresses, turn: Arc::default() })
    }

    /// Where the next call begins its round.
    pub(crate) fn take_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether it has replicas.
    pub(crate) fn has_several(&self) -> bool {
        self.addresses.len() > 1
    }

    /// The first address of the round from `start` on that may be called now, other than the one that has just failed this call.
    ///
    /// If all others rest, the one that has rested longest is asked early: when replicas are restarted one after the other, the
    /// first is back before the second goes, sooner than its rest is over. Only then the failed one is asked again.
    pub(crate) fn admit(&self, start: usize, failed: Option<&Arc<Address>>) -> Option<Permit> {
        let count = self.addresses.len();
        let begin = start.checked_rem(count).unwrap_or_default();
        let now = Instant::now();
        let is_failed = |address: &Arc<Address>| failed.is_some_and(|failed| Arc::ptr_eq(failed, address));
        let permit =
            |address: &Arc<Address>, admission| Permit { address: address.clone(), admission, told: false };
        let mut others = self.addresses.iter().cycle().skip(begin).take(count).filter(|it| !is_failed(it));
        let ordinary = others.find_map(|address| {
            let admission = address.breaker().admit(now)?;
            Some(permit(address, admission))
        });
        let early = || {
            let longest = self.addresses.iter().filter(|it| !is_failed(it)).min_by_key(|address| {
                let rests_until = address.breaker().rests_until();
                (rests_until.is_none(), rests_until)
            })?;
            let admission = longest.breaker().admit_early()?;
            Some(permit(longest, admission))
        };
        let again = || {
            let admission = failed?.breaker().admit(now)?;
            Some(permit(failed?, admission))
        };
        match self.has_several() {
            true => ordinary.or_else(early).or_else(again),
            false => ordinary.or_else(again),
        }
    }
}

fn parse(module: &'static str, address: &str) -> Result<Url, PeerError> {
    let malformed = || PeerError::Malformed { module, address: without_password(address) };
    let url = Url::parse(address).map_err(|_| malformed())?;
    let is_bare = url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none();
    match url.scheme() {
        "http" if is_bare => Ok(url),
        "https" if is_bare => Err(PeerError::Tls { module, address: address.to_owned() }),
        _ => Err(malformed()),
    }
}

/// An address for a message; what stands before an `@` may be a password.
fn without_password(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((_, host)) => format!("...@{host}"),
        None => address.to_owned(),
    }
}

impl Address {
    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the log.
    pub(crate) fn name(&self) -> String {
        self.url.as_str().trim_end_matches('/').to_owned()
    }
}

/// One call to one address. Its end is told to the breaker; dropped before, it has told nothing.
pub(crate) struct Permit {
    pub(crate) address: Arc<Address>,
    admission: Admission,
    told: bool,
}

impl Permit {
    /// The address answered, whatever it said.
    pub(crate) fn answered(mut self) {
        self.told = true;
        if self.address.breaker().answered() {
            tracing::info!(peer = self.address.module, address = %self.address.name(), "a peer answers again");
        }
    }

    /// The address did not answer.
    pub(crate) fn failed(mut self) {
        self.told = true;
        if self.address.breaker().failed(Instant::now()) {
            metrics::counter!("port_breaker_opened_total", "peer" => self.address.module).increment(1);
            tracing::warn!(peer = self.address.module, address = %self.address.name(), "a peer does not answer and is left alone");
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.told {
            self.address.breaker().untold(self.admission, Instant::now());
        }
    }
}
