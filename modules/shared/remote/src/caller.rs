//! The calling half of a process: one pool of connections, one set of service tokens.

use std::sync::Arc;
use std::time::Duration;

use kernel::Clock;
use reqwest::redirect;
use thiserror::Error;
use tokio::runtime::Handle;

use crate::gate::{MIN_SECRET, ServiceTokens};
use crate::peer::{Peer, PeerError};

/// How a process calls others.
#[derive(Clone)]
pub struct Options {
    /// What the processes of the shop share, at least [`MIN_SECRET`] bytes.
    pub secret: String,
    /// The modules of this process, as they stand in its tokens.
    pub caller: String,
    /// The most time a call may take, retries included.
    pub deadline: Duration,
    /// The most time until a connection stands.
    pub connect_timeout: Duration,
    /// Connections to one address that are kept without a call on them.
    pub idle_connections: usize,
    /// How long they are kept; less than the server's own patience, which is 75 s by default: a connection that the
    /// server closes just as a call sets out costs that call another try.
    pub idle_timeout: Duration,
    /// Calls to one address at the same time; more wait for their turn.
    pub calls_at_once: usize,
}

impl Default for Options {
    /// Without a secret, which has to be given.
    fn default() -> Self {
        Self {
            secret: String::new(),
            caller: String::new(),
            deadline: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(1),
            idle_connections: 32,
            idle_timeout: Duration::from_secs(30),
            calls_at_once: 256,
        }
    }
}

/// Why a process cannot call others.
#[derive(Debug, Error)]
pub enum CallerError {
    #[error("the secret of the processes has at least {MIN_SECRET} bytes")]
    Secret,
    #[error("no runtime is at hand to run connections on")]
    Runtime(#[from] tokio::runtime::TryCurrentError),
    #[error("the HTTP client cannot be built")]
    Client(#[from] reqwest::Error),
}

/// One a process; [`Caller::peer`] names whom it calls.
pub struct Caller {
    pub(crate) client: reqwest::Client,
    pub(crate) tokens: ServiceTokens,
    pub(crate) options: Options,
    /// Where connections live: not on the thread of the request that opened one, which may end, or be busy, while
    /// another request waits for its answer on that connection.
    pub(crate) runtime: Handle,
}

impl Caller {
    /// Call it on the runtime that is to run the connections.
    pub fn new(options: Options, clock: Arc<dyn Clock>) -> Result<Arc<Self>, CallerError> {
        if options.secret.len() < MIN_SECRET {
            return Err(CallerError::Secret);
        }
        let client = reqwest::Client::builder()
            .http1_only()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            // Whether to ask again is decided here, operation by operation.
            .retry(reqwest::retry::never())
            .tcp_nodelay(true)
            .connect_timeout(options.connect_timeout)
            .pool_idle_timeout(options.idle_timeout)
            .pool_max_idle_per_host(options.idle_connections)
            .build()?;
        let tokens = ServiceTokens::new(&options.secret, options.caller.clone(), clock);
        Ok(Arc::new(Self { client, tokens, options, runtime: Handle::try_current()? }))
    }

    /// A module that runs at one or more addresses, such as `http://10.0.0.4:8000,http://10.0.0.5:8000`. Nobody is
    /// asked yet, so the peer need not be up.
    pub fn peer(self: &Arc<Self>, module: &'static str, addresses: &str) -> Result<Peer, PeerError> {
        Peer::new(self.clone(), module, addresses)
    }
}
