//! What a journey was answered, written so that two topologies can be compared byte for byte.
//!
//! Whatever differs from run to run (ids, tokens, tags, order numbers, trace ids) becomes a placeholder, numbered in the
//! order of first appearance, so that what stands for the same thing is compared too. Times become `<time>` without a
//! number: whether two moments fall into the same millisecond is chance.

use std::collections::HashMap;

use serde_json::Value;
use testkit::Response;

/// The headers of an answer that clients rely on.
const HEADERS: &[&str] =
    &["content-type", "etag", "location", "allow", "idempotency-replayed", "retry-after", "x-cart-token"];

/// Fields whose text is made up anew in every run, and what stands for it.
const RANDOM_FIELDS: &[(&str, &str)] = &[
    ("access_token", "token"),
    ("token", "token"),
    ("refresh_token", "token"),
    ("cart_token", "cart-token"),
    ("next_cursor", "cursor"),
    ("number", "number"),
    ("order_number", "number"),
    ("trace_id", "trace"),
    ("kid", "key"),
    ("x", "key"),
];

/// From this length on a random text is replaced wherever it occurs, such as an order's number in a subject.
const DISTINCT: usize = 12;

/// One journey's exchanges, masked.
#[derive(Debug, Default)]
pub struct Transcript {
    text: String,
    masks: Masks,
}

impl Transcript {
    /// Adds an exchange. Lists of an `unordered` one are sorted: their order is that of independent events.
    pub fn exchange(&mut self, method: &str, path: &str, answer: &Response, unordered: bool) {
        let path = self.masks.text(path);
        self.line(&format!("{method} {path}"));
        self.line(&format!("-> {}", answer.status));
        for name in HEADERS {
            let Some(value) = answer.headers.get(*name).and_then(|value| value.to_str().ok()) else {
                continue;
            };
            let value = match *name {
                "etag" => self.masks.stand_in("tag", value),
                "x-cart-token" => self.masks.stand_in("cart-token", value),
                _ => self.masks.text(value),
            };
            self.line(&format!("{name}: {value}"));
        }
        let body = match &answer.json {
            Value::Null => self.masks.text(&answer.text),
            json => {
                let mut json = json.clone();
                if unordered {
                    sort_lists(&mut json);
                }
                self.masks.value(&mut json, "");
                serde_json::to_string_pretty(&json).unwrap()
            }
        };
        if !body.is_empty() {
            self.line(&body);
        }
        self.line("");
    }

    /// Adds what a story found out by other means, such as the count of each answer in a race.
    pub fn note(&mut self, what: &str, found: &str) {
        let found = self.masks.text(found);
        self.line(&format!("note: {what}\n{found}\n"));
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// Sorts `items` and `events` by what is the same in every run.
fn sort_lists(json: &mut Value) {
    for list in ["items", "events"] {
        if let Some(items) = json.get_mut(list).and_then(Value::as_array_mut) {
            items.sort_by_cached_key(|item| {
                let mut item = item.clone();
                Masks { unnumbered: true, ..Masks::default() }.value(&mut item, "");
                item.to_string()
            });
        }
    }
}

/// What stands for which random text.
#[derive(Debug, Default)]
struct Masks {
    known: HashMap<String, String>,
    counts: HashMap<&'static str, usize>,
    /// Every text of a kind becomes the same.
    unnumbered: bool,
}

impl Masks {
    /// What stands for a random text from now on.
    fn stand_in(&mut self, kind: &'static str, text: &str) -> String {
        if self.unnumbered {
            self.known.insert(text.to_owned(), format!("<{kind}>"));
            return format!("<{kind}>");
        }
        // Short texts, such as the tag `"1"`, may stand for different things of different kinds.
        let key = if text.len() < DISTINCT { format!("{kind} {text}") } else { text.to_owned() };
        let Self { known, counts, .. } = self;
        let stand_in = known.entry(key).or_insert_with(|| {
            let count = counts.entry(kind).or_default();
            *count += 1;
            format!("<{kind} {count}>")
        });
        stand_in.clone()
    }

    /// Masks a JSON value in place.
    fn value(&mut self, value: &mut Value, field: &str) {
        match value {
            Value::String(text) => {
                let kind = RANDOM_FIELDS.iter().find(|(name, _)| *name == field).map(|(_, kind)| *kind);
                *text = match kind {
                    Some(kind) => self.stand_in(kind, text),
                    None if field == "secret" && !text.contains('*') => self.stand_in("secret", text),
                    None => self.text(text),
                };
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item, field)),
            Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| self.value(value, name)),
            _ => {}
        }
    }

    /// Masks ids, times and known random texts wherever they stand in a text.
    fn text(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (known, stand_in) in &self.known {
            if known.len() >= DISTINCT && text.contains(known.as_str()) {
                text = text.replace(known.as_str(), stand_in);
            }
        }
        let mut masked = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            if let Some(id) = rest.get(..36).filter(|id| is_uuid(id)) {
                masked.push_str(&self.stand_in("id", id));
                rest = &rest[36..];
            } else if let Some(length) = time_length(rest) {
                masked.push_str("<time>");
                rest = &rest[length..];
            } else {
                masked.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        masked
    }
}

/// Whether a text of 36 characters is an id.
fn is_uuid(text: &str) -> bool {
    text.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}

/// How long the RFC 3339 time is that a text begins with.
fn time_length(text: &str) -> Option<usize> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let start = text.as_bytes().get(..SHAPE.len())?;
    let fits = start.iter().zip(SHAPE).all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte == shape,
    });
    let end = text.find('Z')?;
    let fraction = text.get(SHAPE.len()..end)?;
    (fits && fraction.chars().all(|c| c == '.' || c.is_ascii_digit())).then_some(end + 1)
}
