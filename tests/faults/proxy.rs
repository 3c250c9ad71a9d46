//! Stands between two processes of a shop and answers in the place of one of them: late, or nonsense.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deployments::text;
use reqwest::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is passed on, and so is the answer.
    Well,
    /// It is passed on at once; the answer waits.
    AnswersLate,
    /// It is passed on when its caller has long given up.
    HearsLate,
    /// 200 with JSON of another kind.
    Nonsense,
    /// 200 with half of what the header promises.
    Half,
    /// 200 with a page for people.
    AnotherType,
    /// 200 with a body that does not end.
    Endless,
}

/// How late something late is.
pub const LATE: Duration = Duration::from_millis(2_500);
/// Requests between processes are small.
const MAX_REQUEST: usize = 1 << 20;

#[derive(Clone)]
pub struct Proxy {
    pub address: SocketAddr,
    mode: Arc<Mutex<Mode>>,
    /// Requests that are on their way.
    at_work: Arc<AtomicUsize>,
    /// Requests that were spoilt.
    spoilt: Arc<AtomicUsize>,
}

impl Proxy {
    /// Before a process at this URL, for as long as this program runs.
    pub fn before(upstream: &str) -> Result<Self, String> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(text)?;
        listener.set_nonblocking(true).map_err(text)?;
        let proxy = Self {
            address: listener.local_addr().map_err(text)?,
            mode: Arc::new(Mutex::new(Mode::Well)),
            at_work: Arc::default(),
            spoilt: Arc::default(),
        };
        let (serving, upstream) = (proxy.clone(), upstream.to_owned());
        std::thread::spawn(move || {
            deployments::block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                let client = deployments::client();
                while let Ok((stream, _)) = listener.accept().await {
                    let (proxy, upstream, client) = (serving.clone(), upstream.clone(), client.clone());
                    tokio::spawn(async move {
                        proxy.at_work.fetch_add(1, Ordering::SeqCst);
                        // Whoever hung up has given up.
                        let _gone = proxy.serve(stream, &upstream, &client).await;
                        proxy.at_work.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            });
        });
        Ok(proxy)
    }

    pub fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }

    /// Whether nothing is held back any more.
    pub fn is_idle(&self) -> bool {
        self.at_work.load(Ordering::SeqCst) == 0
    }

    /// How many requests were not simply passed on.
    pub fn spoilt(&self) -> usize {
        self.spoilt.load(Ordering::SeqCst)
    }

    /// One request of one connection.
    async fn serve(&self, mut stream: TcpStream, upstream: &str, client: &Client) -> Result<(), String> {
        let (head, body) = read_request(&mut stream).await?;
        let mode = *self.mode.lock().unwrap_or_else(PoisonError::into_inner);
        self.spoilt.fetch_add(usize::from(mode != Mode::Well), Ordering::SeqCst);
        match mode {
            Mode::Well => {
                let answer = pass_on(client, upstream, &head, body).await?;
                stream.write_all(&answer).await.map_err(text)
            }
            Mode::AnswersLate => {
                let answer = pass_on(client, upstream, &head, body).await?;
                tokio::time::sleep(LATE).await;
                stream.write_all(&answer).await.map_err(text)
            }
            Mode::HearsLate => {
                tokio::time::sleep(LATE).await;
                let answer = pass_on(client, upstream, &head, body).await?;
                stream.write_all(&answer).await.map_err(text)
            }
            Mode::Nonsense => {
                say(&mut stream, "application/json", 27, br#"{"reserved":"perhaps","n":1}"#).await
            }
            Mode::Half => say(&mut stream, "application/json", 1_000, b"[{\"sku\":").await,
            Mode::AnotherType => say(&mut stream, "text/html", 15, b"<h1>Hello!</h1>").await,
            Mode::Endless => {
                say(&mut stream, "application/json", 1 << 40, b"[").await?;
                loop {
                    stream.write_all(&[b' '; 64 * 1024]).await.map_err(text)?;
                }
            }
        }
    }
}

async fn say(stream: &mut TcpStream, kind: &str, length: u64, body: &[u8]) -> Result<(), String> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.map_err(text)?;
    stream.write_all(body).await.map_err(text)
}

/// The head of a request, its lines apart, and its body.
async fn read_request(stream: &mut TcpStream) -> Result<(Vec<String>, Vec<u8>), String> {
    let mut read = Vec::new();
    let mut piece = [0; 8 * 1024];
    loop {
        let count = stream.read(&mut piece).await.map_err(text)?;
        read.extend(piece.iter().take(count));
        let whole = String::from_utf8_lossy(&read);
        if let Some((head, body)) = whole.split_once("\r\n\r\n") {
            let lines: Vec<String> = head.split("\r\n").map(str::to_owned).collect();
            let length = lines.iter().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or_default() {
                return Ok((lines, body.as_bytes().to_vec()));
            }
        }
        if count == 0 || read.len() > MAX_REQUEST {
            return Err("no whole request came".to_owned());
        }
    }
}

/// Asks the process and gives its answer as it goes over the wire.
async fn pass_on(client: &Client, upstream: &str, head: &[String], body: Vec<u8>) -> Result<Vec<u8>, String> {
    let mut words = head.first().map(|line| line.split(' ')).into_iter().flatten();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let method = reqwest::Method::from_bytes(method.as_bytes()).map_err(text)?;
    let mut request = client.request(method, format!("{upstream}{path}")).body(body);
    for (name, value) in head.iter().skip(1).filter_map(|line| line.split_once(':')) {
        let own = ["host", "content-length", "connection", "transfer-encoding"];
        if !own.contains(&name.to_ascii_lowercase().as_str()) {
            request = request.header(name, value.trim());
        }
    }
    let answer = request.send().await.map_err(text)?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = answer.bytes().await.map_err(text)?;
    let mut said =
        format!("HTTP/1.1 {} OK\r\nConnection: close\r\nContent-Length: {}\r\n", status.as_u16(), body.len());
    for name in ["content-type", "retry-after"] {
        if let Some(value) = headers.get(name).and_then(|value| value.to_str().ok()) {
            said.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    said.push_str("\r\n");
    Ok([said.as_bytes(), &body].concat())
}
