//! Real servers with fake ports behind them, and callers.

use std::future::Future;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use async_trait::async_trait;
use contracts::port::{NoRefusal, PortError};
use contracts::users::{CreateProfileRefusal, NewProfile, Profile, Role, UsersPort};
use kernel::{EmailAddress, Timestamp, UserId};
use platform::system::SystemClock;
use remote::{Caller, Gate, Options, Peer};
use testkit::fakes::FakeUsers;
use tokio::sync::Semaphore;

pub const SECRET: &str = "a secret of these tests alone";

/// Options with this deadline.
pub fn options(deadline: Duration) -> Options {
    Options { secret: SECRET.to_owned(), caller: "auth".to_owned(), deadline, ..Options::default() }
}

/// The module `users` at some addresses.
pub fn peer(addresses: &str, deadline: Duration) -> Peer {
    let caller = Caller::new(options(deadline), Arc::new(SystemClock)).unwrap();
    caller.peer("users", addresses).unwrap()
}

/// The port of `users` at some addresses.
pub fn users_at(addresses: &str, deadline: Duration) -> Arc<dyn UsersPort> {
    remote::users::client(peer(addresses, deadline))
}

/// Long enough for anything that works.
pub const PLENTY: Duration = Duration::from_secs(20);

/// A server that is stopped hard at its end.
pub struct Server {
    pub address: String,
    handle: ServerHandle,
}

impl Server {
    /// Serves the port of `users` on a free port.
    pub fn start(port: Arc<dyn UsersPort>) -> Self {
        Self::on(&TcpListener::bind(("127.0.0.1", 0)).unwrap(), port)
    }

    /// Serves it on a socket that may have had another server before, as a restarted process does.
    pub fn on(socket: &TcpListener, port: Arc<dyn UsersPort>) -> Self {
        let gate = web::Data::new(Gate::new(SECRET, Arc::new(SystemClock)));
        let server = HttpServer::new(move || {
            let port = port.clone();
            App::new().app_data(gate.clone()).configure(move |config| remote::users::routes(config, port))
        })
        .workers(1)
        .disable_signals()
        .shutdown_timeout(1)
        .listen(socket.try_clone().unwrap())
        .unwrap()
        .run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self { address: format!("http://{}", socket.local_addr().unwrap()), handle }
    }

    /// Ends it as a crash would: calls in flight get no answer.
    pub async fn crash(self) {
        self.handle.stop(false).await;
    }
}

/// An address where nobody listens.
pub fn nobody() -> String {
    let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    format!("http://{}", socket.local_addr().unwrap())
}

/// A profile that is the same wherever it is made.
pub fn ada() -> Profile {
    Profile {
        id: UserId(testkit::fresh_id()),
        email: EmailAddress::parse("ada@example.com").unwrap(),
        username: Some("ada".to_owned()),
        name: Some("Ada Lovelace".to_owned()),
        role: Role::Customer,
        active: true,
        created_at: Timestamp::EPOCH,
    }
}

/// The port of `users` with Ada in it.
pub fn with_ada() -> (Arc<FakeUsers>, Profile) {
    let (users, ada) = (Arc::new(FakeUsers::default()), ada());
    users.put(ada.clone());
    (users, ada)
}

/// A port whose answers wait until the test lets them go.
pub struct Held {
    pub inner: Arc<FakeUsers>,
    /// One a call that has arrived.
    pub arrived: Semaphore,
    /// One a call that may be answered.
    pub released: Semaphore,
    /// What `platform::deadline` said in the last call.
    pub left: std::sync::Mutex<Option<Duration>>,
}

impl Held {
    pub fn new(inner: Arc<FakeUsers>) -> Arc<Self> {
        let left = std::sync::Mutex::default();
        Arc::new(Self { inner, arrived: Semaphore::new(0), released: Semaphore::new(0), left })
    }

    async fn hold(&self) {
        *self.left.lock().unwrap() = platform::deadline::left();
        self.arrived.add_permits(1);
        self.released.acquire().await.unwrap().forget();
    }

    /// Waits until so many calls have arrived.
    pub async fn wait_for(&self, calls: u32) {
        tokio::time::timeout(PLENTY, self.arrived.acquire_many(calls)).await.unwrap().unwrap().forget();
    }
}

#[async_trait]
impl UsersPort for Held {
    async fn create_profile(&self, new: NewProfile) -> Result<Profile, PortError<CreateProfileRefusal>> {
        self.hold().await;
        self.inner.create_profile(new).await
    }

    async fn find_by_login(&self, login: &str) -> Result<Option<Profile>, PortError<NoRefusal>> {
        self.hold().await;
        self.inner.find_by_login(login).await
    }

    async fn profile(&self, id: UserId) -> Result<Option<Profile>, PortError<NoRefusal>> {
        self.hold().await;
        self.inner.profile(id).await
    }
}

/// The cause of a silence in one line; fails the test for everything else.
#[track_caller]
pub fn silence<T: std::fmt::Debug, R: std::fmt::Display + std::fmt::Debug + 'static>(
    result: Result<T, PortError<R>>,
) -> String {
    match result {
        Err(error @ PortError::Unavailable { module: "users", .. }) => platform::problem::chain(&error),
        other => panic!("should be unavailable: {other:?}"),
    }
}

/// Waits until something is so, at most as long as [`PLENTY`].
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PLENTY, "never so: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What came of work and how long it took.
pub async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    (work.await, begun.elapsed())
}
