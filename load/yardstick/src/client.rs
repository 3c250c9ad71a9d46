//! One kept-alive HTTP/1.1 connection that does as little as a driver can: what it costs is taken from the machine that the shop
//! runs on.

use std::fmt::Write as _;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::problem::Problem;

/// The most that an answer's head may be.
const MAX_HEAD: usize = 64 * 1024;

/// A request of the shop, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    /// Lines `Name: value` with their ends.
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn get(path: String) -> Self {
        Self { method: "GET", path, headers: String::new(), body: String::new() }
    }

    pub(crate) fn json(method: &'static str, path: String, body: String) -> Self {
        Self { method, path, headers: "Content-Type: application/json\r\n".to_owned(), body }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        // Writing into a string cannot fail.
        let _written = write!(self.headers, "{name}: {value}\r\n");
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.with("Authorization", &format!("Bearer {token}"))
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The problem that another status than the expected one is.
    pub(crate) fn expect(self, request: &Request, status: u16) -> Result<Vec<u8>, Problem> {
        if self.status == status {
            return Ok(self.body);
        }
        let body: String = String::from_utf8_lossy(&self.body).chars().take(300).collect();
        Err(Problem::Unexpected {
            method: request.method,
            path: request.path.clone(),
            status: self.status,
            body,
        })
    }
}

/// A connection to one shop; opened when it is first needed, and again after the shop closed it.
pub(crate) struct Client {
    host: String,
    stream: Option<TcpStream>,
    read: Vec<u8>,
    write: String,
}

impl Client {
    /// To `http://host:port`.
    pub(crate) fn new(url: &str) -> Result<Self, Problem> {
        let host = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let host = host.ok_or_else(|| Problem::other(format!("not an http:// address: {url}")))?;
        Ok(Self { host: host.to_owned(), stream: None, read: Vec::new(), write: String::new() })
    }

    pub(crate) async fn send(&mut self, request: &Request) -> Result<Answer, Problem> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(&self.host).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        let Request { method, path, headers, body } = request;
        self.write.clear();
        let _written = write!(self.write, "{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}", self.host);
        if *method != "GET" {
            let _written = write!(self.write, "Content-Length: {}\r\n", body.len());
        }
        self.write.push_str("\r\n");
        self.write.push_str(body);
        stream.write_all(self.write.as_bytes()).await?;
        let (answer, stays_open) = self.receive(&mut stream).await?;
        // A connection in the middle of which something failed is not used again.
        self.stream = stays_open.then_some(stream);
        Ok(answer)
    }

    async fn receive(&mut self, stream: &mut TcpStream) -> Result<(Answer, bool), Problem> {
        self.read.clear();
        let mut seen: usize = 0;
        let head_end = loop {
            // The end may lie across two reads.
            let from = seen.saturating_sub(3);
            seen = self.read.len();
            let found =
                self.read.get(from..).and_then(|rest| rest.windows(4).position(|four| four == b"\r\n\r\n"));
            if let Some(at) = found {
                break from + at;
            }
            if self.read.len() > MAX_HEAD {
                return Err(Problem::other("the head of an answer does not end"));
            }
            if stream.read_buf(&mut self.read).await? == 0 {
                return Err(Problem::other("the shop closed the connection before it answered"));
            }
        };
        let head = String::from_utf8_lossy(self.read.get(..head_end).unwrap_or_default()).into_owned();
        let status = head.get(9..12).and_then(|digits| digits.parse().ok());
        let status = status.ok_or_else(|| Problem::other("an answer without a status"))?;
        let length = header(&head, "content-length").and_then(|value| value.parse::<usize>().ok());
        let length = match (status, length) {
            (_, Some(length)) => length,
            (204 | 304, None) => 0,
            _ => return Err(Problem::other("an answer without Content-Length: this driver reads no chunks")),
        };
        let end = head_end + 4 + length;
        while self.read.len() < end {
            if stream.read_buf(&mut self.read).await? == 0 {
                return Err(Problem::other("the shop closed the connection within an answer"));
            }
        }
        let stays_open = header(&head, "connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"));
        let body = self.read.get(head_end + 4..end).unwrap_or_default().to_vec();
        Ok((Answer { status, body }, stays_open))
    }
}

fn header<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then(|| value.trim()))
}

/// The path and query of a text that may hold anything; the driver's own texts are letters, digits and `-`.
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
