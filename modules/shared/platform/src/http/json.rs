//! JSON bodies: typed, bounded in size and depth, refused with the pointer of what is wrong.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use bytes::BytesMut;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use crate::access::{as_io, refusal_in};
use crate::http::objects::Objects;
use crate::problem::{Problem, codes};

/// The largest JSON body, bytes.
pub const MAX_JSON_BYTES: usize = 256 * 1024;
/// How long a JSON body may take to arrive.
pub const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// The deepest nesting of arrays and objects.
pub const MAX_DEPTH: usize = 32;

/// A JSON body of type `T`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = is_json(request);
        let declared =
            request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let is_too_long =
            declared.is_some_and(|length: u64| u64::try_from(MAX_JSON_BYTES).is_ok_and(|most| length > most));
        let mut payload = payload.take();
        Box::pin(async move {
            if !is_json {
                return Err(Problem::new(
                    codes::UNSUPPORTED_MEDIA_TYPE,
                    "Send the body as JSON, with `Content-Type: application/json`.",
                ));
            }
            if is_too_long {
                return Err(too_large());
            }
            let body = tokio::time::timeout(READ_TIMEOUT, read(&mut payload)).await.map_err(|_| {
                Problem::new(
                    codes::REQUEST_TIMEOUT,
                    format!("The body did not arrive within {} s.", READ_TIMEOUT.as_secs()),
                )
            })??;
            parse(&body).map(Self)
        })
    }
}

async fn read(payload: &mut Payload) -> Result<BytesMut, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(as_io).map_err(|error| {
            let unread =
                || Problem::new(codes::MALFORMED_JSON, format!("The body could not be read: {error}."));
            refusal_in(&error).unwrap_or_else(unread)
        })?;
        if body.len() + chunk.len() > MAX_JSON_BYTES {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn too_large() -> Problem {
    Problem::new(codes::PAYLOAD_TOO_LARGE, format!("A JSON body has at most {MAX_JSON_BYTES} bytes."))
}

fn is_json(request: &HttpRequest) -> bool {
    let content_type = request.content_type().trim().to_ascii_lowercase();
    let encoded = request
        .headers()
        .get(header::CONTENT_ENCODING)
        .is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    !encoded && (content_type == "application/json" || content_type.ends_with("+json"))
}

/// Reads a body; the error carries the pointer of the first place at fault.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if body.is_empty() {
        return Err(Problem::new(
            codes::MALFORMED_JSON,
            "The body is empty; this operation needs a JSON body.",
        ));
    }
    if depth(body) > MAX_DEPTH {
        return Err(Problem::new(
            codes::MALFORMED_JSON,
            format!("The body is nested more than {MAX_DEPTH} levels deep."),
        ));
    }
    if has_nul(body) {
        return Err(Problem::new(
            codes::INVALID_BODY,
            "The body has the character U+0000, which no text here may hold.",
        ));
    }
    // An internally tagged enum may be an array for serde, too; no body is anything but an object.
    let begins_with = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let is_other_json = |first: &u8| !matches!(first, b'{' | b'"') && is_json_text(body);
    if begins_with.is_some_and(is_other_json) {
        return Err(Problem::invalid("", "the body is a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut reader, &mut track);
    let value = T::deserialize(Objects(tracked)).map_err(|inner| {
        let pointer = pointer(&track.path());
        // Some mistakes in a value count as syntax for the parser, though the text is JSON.
        if inner.is_data() || is_json_text(body) {
            Problem::invalid(pointer, in_plain_words(&inner.to_string()))
        } else {
            Problem::new(codes::MALFORMED_JSON, format!("The body is not valid JSON: {inner}."))
                .at(pointer, inner.to_string())
        }
    })?;
    reader.end().map_err(|error| {
        Problem::new(codes::MALFORMED_JSON, format!("Something follows the JSON value: {error}."))
    })?;
    Ok(value)
}

/// The deepest nesting of brackets outside strings.
fn depth(body: &[u8]) -> usize {
    let (mut open, mut deepest, mut in_string, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in body {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => in_string = false,
            (true, _) => {}
            (false, b'"') => in_string = true,
            (false, b'[' | b'{') => {
                open += 1;
                deepest = deepest.max(open);
            }
            (false, b']' | b'}') => open = open.saturating_sub(1),
            (false, _) => {}
        }
    }
    deepest
}

/// Whether a text holds U+0000, which can only be written as an escape. PostgreSQL cannot store it, so no module has to
/// ask itself what it would mean.
fn has_nul(body: &[u8]) -> bool {
    let mut rest = body;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let escape = rest.get(at + 1..).unwrap_or_default();
        if escape.starts_with(b"u0000") {
            return true;
        }
        // The character after a backslash belongs to it, another backslash included.
        rest = escape.get(1..).unwrap_or_default();
    }
    false
}

/// The path of serde as a JSON pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// Whether a body is JSON at all.
fn is_json_text(body: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

/// serde_json appends ` at line 1 column 2`, which the pointer says better, and names types of the program.
fn in_plain_words(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or(message);
    match message.split_once("expected struct ") {
        Some((before, _)) => format!("{before}expected an object"),
        None => message.replace("expected value", "this value is not one of those allowed here"),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Body {
        #[serde(rename = "items")]
        _items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    struct Item {
        #[serde(rename = "quantity")]
        _quantity: kernel::Quantity,
    }

    fn refusal(body: &str) -> (u16, String) {
        let problem = parse::<Body>(body.as_bytes()).unwrap_err();
        (problem.status_code().as_u16(), format!("{problem:?}"))
    }

    #[test]
    fn a_wrong_value_is_named_by_its_pointer() {
        let (status, problem) = refusal(r#"{"items":[{"quantity":1},{"quantity":0}]}"#);
        assert_eq!(status, 400);
        assert!(problem.contains("/items/1/quantity") && problem.contains("not 0"), "{problem}");
    }

    #[test]
    fn broken_deep_and_trailing_json_is_malformed() {
        let deep = format!("{{\"items\":{}{}}}", "[".repeat(40), "]".repeat(40));
        for body in ["", "{", "{\"items\":[]} x", "\u{0}", &deep] {
            assert!(refusal(body).1.contains("malformed_json"), "{body}");
        }
        assert!(parse::<serde_json::Value>(br#"{"text":"[[[[\"[[[["}"#).is_ok());
    }

    #[test]
    fn what_is_json_but_no_object_is_an_invalid_body() {
        for body in [
            "[]",
            "[[{\"quantity\":1}]]",
            "null",
            "7",
            r#"{"items":null}"#,
            r#"{"items":[7]}"#,
            r#"{"items":[[1]]}"#,
        ] {
            let problem = refusal(body).1;
            assert!(problem.contains("invalid_body") && !problem.contains("struct "), "{body}: {problem}");
        }
    }

    #[test]
    fn an_array_is_no_object_at_any_depth() {
        let (status, problem) = refusal(r#"{"items":[{"quantity":1},[1]]}"#);
        assert!(
            status == 400 && problem.contains("/items/1") && problem.contains("expected an object"),
            "{problem}"
        );
    }

    #[test]
    fn no_text_holds_a_nul() {
        for body in [r#"{"a":"\u0000"}"#, r#"{"\u0000":1}"#, r#"["\\\u0000"]"#] {
            assert!(has_nul(body.as_bytes()), "{body}");
        }
        assert!(!has_nul(br#"["\\u0000", "\u0001"]"#));
    }
}
