//! CSV in and out, streamed: neither direction ever holds a whole file.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use actix_multipart::{Multipart, MultipartError};
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, dev};
use async_trait::async_trait;
use bytes::Bytes;
use contracts::audit::By;
use csv_async::{AsyncReader, AsyncReaderBuilder, AsyncWriterBuilder, StringRecord};
use futures_util::stream::{BoxStream, LocalBoxStream};
use futures_util::{Stream, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::StreamReader;
use utoipa::ToSchema;

use crate::access::{as_io, refusal_in};
use crate::problem::{ErrorCode, Problem, codes};

/// The largest upload, bytes.
pub const MAX_UPLOAD_BYTES: u64 = 1024 * 1024 * 1024;
/// The longest record, bytes.
pub const MAX_RECORD_BYTES: u64 = 1024 * 1024;
/// How many refused records a summary lists; it counts all of them.
pub const MAX_REFUSALS: usize = 1_000;

/// The error codes of imports.
pub const CSV_MALFORMED: ErrorCode = ErrorCode::new("csv_malformed", 400, "The file cannot be read as CSV");

/// A source of CSV text.
pub type Source<'a> = Pin<Box<dyn AsyncRead + Send + 'a>>;
/// Rows of a table on their way out, each with as many cells as there are columns.
pub type Rows = BoxStream<'static, Result<Vec<String>, Problem>>;

/// A table that goes in and out as CSV, over HTTP and from the command line alike.
#[async_trait]
pub trait Transfer: Send + Sync {
    /// Its name on the command line: `products`.
    fn resource(&self) -> &'static str;

    /// The columns of an export, which are those an import reads.
    fn columns(&self) -> &'static [&'static str];

    /// Creates and updates records in somebody's name. A record that cannot be taken is refused with its line, and the rest goes in. `progress`
    /// is called with the number of lines read so far.
    async fn import(
        &self,
        source: Source<'_>,
        by: By,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<ImportSummary, Problem>;

    /// Every record, in pages from the database.
    fn export(&self) -> Rows;
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportSummary {
    /// Lines of data in the file.
    pub rows_read: u64,
    /// Records that are new.
    pub created: u64,
    /// Records that changed.
    pub updated: u64,
    /// Records that were the same already.
    pub unchanged: u64,
    /// Records that were not taken.
    pub refused: u64,
    /// Why, for the first 1,000 of them.
    pub refusals: Vec<Refusal>,
}

/// A record that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refusal {
    /// The line in the file, counted from 1; the header is line 1.
    #[schema(example = 7)]
    pub line: u64,
    /// What the record calls itself: a SKU, an order number, an email.
    #[schema(example = "MUG-BLUE")]
    pub record: String,
    /// Why.
    #[schema(example = "price: `abc` is not a decimal amount like 29.99")]
    pub reason: String,
}

impl ImportSummary {
    /// Counts a refused record and lists it while there is room.
    pub fn refuse(&mut self, line: u64, record: impl Into<String>, reason: impl Into<String>) {
        self.refused += 1;
        if self.refusals.len() < MAX_REFUSALS {
            self.refusals.push(Refusal { line, record: record.into(), reason: reason.into() });
        }
    }
}

/// One line of a CSV file.
#[derive(Debug, Clone)]
pub struct Record {
    /// Counted from 1, with the header.
    pub line: u64,
    cells: StringRecord,
    columns: Arc<Vec<String>>,
}

impl Record {
    /// The trimmed text of a column, if the file has the column and the cell is not empty.
    pub fn get(&self, column: &str) -> Option<&str> {
        let index = self.columns.iter().position(|name| name == column)?;
        self.cells.get(index).map(|cell| refuse_defused(cell.trim())).filter(|cell| !cell.is_empty())
    }

    /// The text of a column that must not be empty.
    pub fn need(&self, column: &str) -> Result<&str, String> {
        self.get(column).ok_or_else(|| format!("{column}: must not be empty"))
    }

    /// A column read by a `parse`; the refusal names the column.
    pub fn parse<T, E: std::fmt::Display>(
        &self,
        column: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, String> {
        parse(self.need(column)?).map_err(|error| format!("{column}: {error}"))
    }

    /// A whole number.
    pub fn whole_number(&self, column: &str) -> Result<i64, String> {
        self.parse(column, |text| text.parse::<i64>().map_err(|_| format!("`{text}` is not a whole number")))
    }
}

/// The records of a file, one after the other.
pub struct Records<'a> {
    reader: AsyncReader<Bounded<Source<'a>>>,
    columns: Arc<Vec<String>>,
    since_record: Arc<AtomicU64>,
    /// Lines of data read so far.
    pub rows_read: u64,
}

impl<'a> Records<'a> {
    /// Reads the header and checks that the needed columns are there. Columns may come in any order; others are ignored.
    pub async fn open(source: Source<'a>, needed: &[&str]) -> Result<Self, Problem> {
        let since_record = Arc::new(AtomicU64::new(0));
        let bounded = Bounded { inner: source, since_record: Arc::clone(&since_record), total: 0 };
        let mut reader = AsyncReaderBuilder::new().flexible(true).create_reader(bounded);
        let header = reader.headers().await.map_err(malformed)?;
        let columns: Vec<String> = header
            .iter()
            .map(|name| name.trim_start_matches('\u{feff}').trim().to_ascii_lowercase())
            .collect();
        let missing: Vec<&str> =
            needed.iter().copied().filter(|name| !columns.iter().any(|column| column == name)).collect();
        if !missing.is_empty() {
            return Err(Problem::new(
                CSV_MALFORMED,
                format!("The first line must name the columns; missing: {}.", missing.join(", ")),
            ));
        }
        Ok(Self { reader, columns: Arc::new(columns), since_record, rows_read: 0 })
    }

    /// The next line of data.
    pub async fn next(&mut self) -> Result<Option<Record>, Problem> {
        self.since_record.store(0, Ordering::Relaxed);
        let mut cells = StringRecord::new();
        if !self.reader.read_record(&mut cells).await.map_err(malformed)? {
            return Ok(None);
        }
        self.rows_read += 1;
        if cells.as_slice().contains('\0') {
            return Err(Problem::new(
                CSV_MALFORMED,
                format!("Line {} has the character U+0000, which no text here may hold.", self.rows_read + 1),
            ));
        }
        let line = cells.position().map_or(self.rows_read + 1, csv_async::Position::line);
        Ok(Some(Record { line, cells, columns: Arc::clone(&self.columns) }))
    }
}

fn malformed(error: csv_async::Error) -> Problem {
    if let csv_async::ErrorKind::Io(error) = error.kind()
        && let Some(refusal) = refusal_in(error)
    {
        return refusal;
    }
    let line = error.position().map_or(String::new(), |position| format!(" (near line {})", position.line()));
    let detail = match error.kind() {
        csv_async::ErrorKind::Io(error) => error.to_string(),
        csv_async::ErrorKind::Utf8 { .. } => "the text is not UTF-8".to_owned(),
        _ => "the lines do not fit the format".to_owned(),
    };
    Problem::new(
        CSV_MALFORMED,
        format!(
            "The file cannot be read{line}: {detail}. Lines before it may have gone in; the import can be repeated."
        ),
    )
}

/// Stops a file that is too large or has a record that never ends.
struct Bounded<R> {
    inner: R,
    since_record: Arc<AtomicU64>,
    total: u64,
}

impl<R: AsyncRead + Unpin> AsyncRead for Bounded<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        let read = u64::try_from(buf.filled().len() - before).unwrap_or(u64::MAX);
        self.total = self.total.saturating_add(read);
        let since_record = self.since_record.fetch_add(read, Ordering::Relaxed) + read;
        if self.total > MAX_UPLOAD_BYTES {
            return Poll::Ready(Err(std::io::Error::other(format!(
                "it is larger than {MAX_UPLOAD_BYTES} bytes"
            ))));
        }
        if since_record > MAX_RECORD_BYTES {
            return Poll::Ready(Err(std::io::Error::other(format!(
                "a record is longer than {MAX_RECORD_BYTES} bytes"
            ))));
        }
        polled
    }
}

/// A spreadsheet runs a cell that begins like a formula; an apostrophe in front makes it text (OWASP, CSV Injection).
pub fn defuse(cell: &str) -> String {
    if begins_like_a_formula(cell) { format!("'{cell}") } else { cell.to_owned() }
}

/// Takes the apostrophe of [`defuse`] off again, so that an export can be imported.
fn refuse_defused(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|rest| begins_like_a_formula(rest)).unwrap_or(cell)
}

/// Whatever apostrophes it has in front: a text that is `'=x` to begin with must come back as that.
fn begins_like_a_formula(cell: &str) -> bool {
    cell.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// An upload as the body itself (`text/csv`) or as the first file of a form (`multipart/form-data`).
pub struct Upload(LocalBoxStream<'static, std::io::Result<Bytes>>);

impl FromRequest for Upload {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let payload = payload.take();
        ready(match request.content_type().trim().to_ascii_lowercase().as_str() {
            "text/csv" | "application/csv" => Ok(Self::from_chunks(payload.map_err(as_io))),
            "multipart/form-data" => {
                let form = Multipart::new(request.headers(), payload);
                Ok(Self::from_chunks(form.take(1).try_flatten().map_err(|error| match error {
                    MultipartError::Payload(error) => as_io(error),
                    other => std::io::Error::other(other.to_string()),
                })))
            }
            _ => Err(Problem::new(
                codes::UNSUPPORTED_MEDIA_TYPE,
                "Send the file as the body with `Content-Type: text/csv`, or as `multipart/form-data`.",
            )),
        })
    }
}

impl Upload {
    fn from_chunks(chunks: impl Stream<Item = std::io::Result<Bytes>> + 'static) -> Self {
        Self(chunks.boxed_local())
    }
}

/// Answers an import request: 200 with the summary, also if records were refused.
///
/// A request's body stays on its worker thread, while an import may run on any: the chunks are carried over, at most eight
/// ahead of the reader, until either side ends.
pub async fn respond_import(
    transfer: &dyn Transfer,
    by: By,
    upload: Upload,
) -> Result<HttpResponse, Problem> {
    let (sender, receiver) = tokio::sync::mpsc::channel(8);
    let carry = async move {
        let mut chunks = upload.0;
        while let Some(chunk) = chunks.next().await {
            if sender.send(chunk).await.is_err() {
                return;
            }
        }
    };
    let received = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    let mut import = transfer.import(Box::pin(StreamReader::new(Box::pin(received))), by, &|_| {});
    let summary = tokio::select! {
        summary = &mut import => summary,
        () = carry => import.await,
    };
    Ok(HttpResponse::Ok().json(summary?))
}

/// Answers an export request with a streamed file.
pub fn respond_export(transfer: &dyn Transfer) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header((
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{}.csv\"", transfer.resource()),
        ))
        .streaming(text(transfer))
}

/// The text of an export: the header, then chunks of up to 200 rows, every cell defused.
pub fn text(transfer: &dyn Transfer) -> BoxStream<'static, Result<Bytes, Problem>> {
    let header: Vec<String> = transfer.columns().iter().map(|name| (*name).to_owned()).collect();
    futures_util::stream::once(async move { Ok(header) })
        .chain(transfer.export().map_ok(|row| row.iter().map(|cell| defuse(cell)).collect()))
        .chunks(200)
        .then(|rows| async move {
            let mut writer = AsyncWriterBuilder::new().create_writer(Vec::new());
            for row in rows {
                writer.write_record(row?).await.map_err(|error| Problem::internal(&error))?;
            }
            let text = writer
                .into_inner()
                .await
                .map_err(|error| Problem::internal(&std::io::Error::other(error.to_string())))?;
            Ok(Bytes::from(text))
        })
        .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(text: &'static str) -> Result<Vec<(u64, Option<String>)>, Problem> {
        let mut records = Records::open(Box::pin(text.as_bytes()), &["sku"]).await?;
        let mut lines = Vec::new();
        while let Some(record) = records.next().await? {
            lines.push((record.line, record.get("sku").map(str::to_owned)));
        }
        Ok(lines)
    }

    #[tokio::test]
    async fn records_know_their_line_whatever_the_quoting() {
        let text = "\u{feff}Name, SKU \n\"a\nb\",X1\n,\n=c,'=X2\n";
        let expected = vec![(2, Some("X1".to_owned())), (4, None), (5, Some("=X2".to_owned()))];
        assert_eq!(lines(text).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn a_file_without_its_columns_or_without_an_end_is_refused() {
        assert!(lines("name\nx\n").await.unwrap_err().detail().contains("missing: sku"));
        let endless: &'static str = format!("sku\n\"{}", "x".repeat(3_000_000)).leak();
        assert!(lines(endless).await.unwrap_err().detail().contains("longer than"));
    }

    #[test]
    fn formulas_are_defused_and_come_back() {
        for cell in ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "'=1"] {
            assert_eq!(defuse(cell), format!("'{cell}"));
            assert_eq!(refuse_defused(&defuse(cell)), cell);
        }
        assert_eq!((defuse("O'Brien").as_str(), refuse_defused("'t Hart")), ("O'Brien", "'t Hart"));
    }
}
