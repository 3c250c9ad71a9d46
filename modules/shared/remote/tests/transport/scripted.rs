//! A peer that does what the test says, byte by byte.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens to the next request.
#[derive(Debug, Clone)]
pub enum Step {
    /// An answer.
    Say { status: u16, content_type: &'static str, body: Vec<u8> },
    /// The connection ends without one.
    HangUp,
    /// Half of an answer, then the end.
    Break,
    /// Nothing, for as long as the caller stays.
    Silence,
}

impl Step {
    pub fn json(status: u16, body: &str) -> Self {
        Self::Say { status, content_type: "application/json", body: body.into() }
    }
}

/// A listener with a script. Requests after its end get the last step again.
pub struct Scripted {
    pub address: String,
    heard: Arc<Heard>,
}

#[derive(Default)]
struct Heard {
    requests: Mutex<Vec<String>>,
    steps: Mutex<VecDeque<Step>>,
    accepted: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
}

impl Scripted {
    pub async fn start(steps: impl IntoIterator<Item = Step>) -> Self {
        let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}", socket.local_addr().unwrap());
        let heard = Arc::new(Heard { steps: Mutex::new(steps.into_iter().collect()), ..Heard::default() });
        let listening = heard.clone();
        // A thread and a runtime of its own, so that its tasks are not taken for the caller's.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let socket = socket.into_std().unwrap();
            runtime.block_on(async move {
                let socket = TcpListener::from_std(socket).unwrap();
                while let Ok((stream, _)) = socket.accept().await {
                    tokio::spawn(serve(stream, listening.clone()));
                }
            });
        });
        Self { address, heard }
    }

    /// The requests so far, heads and bodies.
    pub fn requests(&self) -> Vec<String> {
        self.heard.requests.lock().unwrap().clone()
    }

    /// Connections so far.
    pub fn accepted(&self) -> usize {
        self.heard.accepted.load(Ordering::SeqCst)
    }

    /// Connections now.
    pub fn open(&self) -> usize {
        self.heard.open.load(Ordering::SeqCst)
    }

    /// The most connections at one time.
    pub fn most_open(&self) -> usize {
        self.heard.most_open.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, heard: Arc<Heard>) {
    heard.accepted.fetch_add(1, Ordering::SeqCst);
    let open = heard.open.fetch_add(1, Ordering::SeqCst) + 1;
    heard.most_open.fetch_max(open, Ordering::SeqCst);
    while let Some(request) = read(&mut stream).await {
        heard.requests.lock().unwrap().push(request);
        let step = {
            let mut steps = heard.steps.lock().unwrap();
            if steps.len() > 1 { steps.pop_front() } else { steps.front().cloned() }
        };
        match step.unwrap() {
            Step::Say { status, content_type, body } => {
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                let written = stream.write_all(&[head.into_bytes(), body].concat()).await;
                if written.is_err() {
                    break;
                }
            }
            Step::HangUp => break,
            Step::Break => {
                let half =
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{";
                let _ = stream.write_all(half).await;
                break;
            }
            Step::Silence => {
                // Until the caller goes away.
                let _ = stream.read(&mut [0; 16]).await;
                break;
            }
        }
    }
    drop(stream);
    heard.open.fetch_sub(1, Ordering::SeqCst);
}

/// One request, or `None` at the end of the connection.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header_of(head, "content-length").map_or(0, |value| value.parse().unwrap());
            if body.len() >= length {
                return Some(text);
            }
        }
    }
}

/// A header of a request.
pub fn header_of(request: &str, name: &str) -> Option<String> {
    let head = request.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}
