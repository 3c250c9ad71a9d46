//! Room on a Redis server for one test, and a way to take the server away from it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use platform::shared_store::{Options, SharedStore};
use redis::{Commands, Connection, RedisResult};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use uuid::Uuid;

/// How long stores of tests wait for an answer: tests come in crowds, and a late answer must not look like none.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Keys of one test: they begin with a prefix of its own, and are deleted with this value.
pub struct TestRedis {
    url: String,
    prefix: String,
}

impl TestRedis {
    /// Room on this server.
    pub fn create(url: String) -> Self {
        Self { url, prefix: format!("souk_test_{}", Uuid::new_v4().simple()) }
    }

    /// The store of a process, once it is connected.
    pub async fn store(&self) -> SharedStore {
        self.store_at(&self.url).await
    }

    /// The same, through a proxy.
    pub async fn store_through(&self, proxy: &Proxy) -> SharedStore {
        self.store_at(&proxy.url()).await
    }

    async fn store_at(&self, url: &str) -> SharedStore {
        let store = SharedStore::open_patiently(&self.options_at(url), PATIENCE).unwrap();
        until("the store is connected", || store.link().is_some()).await;
        store
    }

    /// For a store at another address.
    pub fn options_at(&self, url: &str) -> Options {
        Options { url: url.to_owned(), prefix: self.prefix.clone() }
    }

    /// A proxy before the server.
    pub async fn proxy(&self) -> Proxy {
        let (_, rest) = self.url.split_once("://").unwrap();
        let authority = rest.split('/').next().unwrap();
        let host = authority.rsplit('@').next().unwrap();
        let address = if host.contains(':') { host.to_owned() } else { format!("{host}:6379") };
        Proxy::to(&address, self.url.replacen(host, "{address}", 1)).await
    }

    /// A connection of the test's own.
    pub fn connect(&self) -> Connection {
        redis::Client::open(self.url.as_str()).unwrap().get_connection().unwrap()
    }

    /// Every key that is there now.
    pub fn keys(&self) -> Vec<String> {
        self.try_keys(&mut self.connect()).unwrap()
    }

    /// Deletes every key, as a flush of the server would.
    pub fn flush(&self) {
        self.try_flush().unwrap();
    }

    fn try_keys(&self, connection: &mut Connection) -> RedisResult<Vec<String>> {
        connection.scan_match(format!("{}:*", self.prefix))?.collect()
    }

    fn try_flush(&self) -> RedisResult<()> {
        let mut connection = redis::Client::open(self.url.as_str())?.get_connection()?;
        for key in self.try_keys(&mut connection)? {
            connection.del::<_, ()>(key)?;
        }
        Ok(())
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        let flushed = self.try_flush();
        // A test that fails has more to say than this.
        if !std::thread::panicking() {
            flushed.unwrap();
        }
    }
}

/// Waits for a condition, at most ten seconds.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(10), "not within ten seconds: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Stands between a client and a server, and can fail.
pub struct Proxy {
    address: SocketAddr,
    template: String,
    mode: watch::Sender<Mode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    /// Connections end, and new ones end at once.
    Cut,
    /// Nothing passes; what was sent passes when it is open again.
    Hung,
}

impl Proxy {
    /// Before `server` (`host:port`). In the template `{address}` stands for the address of the proxy.
    pub async fn to(server: &str, template: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, watched) = watch::channel(Mode::Open);
        let server = server.to_owned();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, mode) = (server.clone(), watched.clone());
                tokio::spawn(async move {
                    let _ended = stand_between(client, &server, mode).await;
                });
            }
        });
        Self { address, template, mode }
    }

    /// What the client is to connect to.
    pub fn url(&self) -> String {
        self.template.replace("{address}", &self.address.to_string())
    }

    /// Ends every connection, and refuses new ones.
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// Lets nothing through, but keeps connections.
    pub fn hang(&self) {
        self.mode.send_replace(Mode::Hung);
    }

    /// Lets everything through.
    pub fn open(&self) {
        self.mode.send_replace(Mode::Open);
    }
}

async fn stand_between(
    client: TcpStream,
    server: &str,
    mut mode: watch::Receiver<Mode>,
) -> std::io::Result<()> {
    if *mode.borrow() == Mode::Cut {
        return Ok(());
    }
    let server = TcpStream::connect(server).await?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        ended = forward(from_client, to_server, mode.clone()) => ended,
        ended = forward(from_server, to_client, mode.clone()) => ended,
        _ = mode.wait_for(|mode| *mode == Mode::Cut) => Ok(()),
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 * 1_024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 || mode.wait_for(|mode| *mode != Mode::Hung).await.is_err() {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
    }
}
