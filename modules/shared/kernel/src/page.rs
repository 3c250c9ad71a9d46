//! Pages of a list: how many, from where, and what comes next.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

/// How many items a page may hold: 1 to 100, 20 unless told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u64);

/// Why a number is no page size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("limit is a whole number from 1 to {}", Limit::MAX)]
pub struct PageError;

impl Limit {
    /// The largest page.
    pub const MAX: u64 = 100;

    /// Reads 1 to [`Limit::MAX`].
    pub fn parse(number: u64) -> Result<Self, PageError> {
        if (1..=Self::MAX).contains(&number) { Ok(Self(number)) } else { Err(PageError) }
    }

    /// The number of items.
    pub fn get(self) -> u64 {
        self.0
    }

    /// One more than the page, so that a query can see whether there is a next one.
    pub fn probe(self) -> u64 {
        self.0 + 1
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(20)
    }
}

/// Where the next page starts: the sort key of the last item seen. Opaque to clients, stable under inserts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Cursor(String);

/// Why a text is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("this cursor did not come from this list; start again without it")]
pub struct CursorError;

const SEPARATOR: char = '\u{1f}';

impl Cursor {
    /// Packs the sort key of the last item of a page. The parts are joined by the ASCII unit separator, then written
    /// in hexadecimal so that the cursor is safe in a URL.
    pub fn pack(parts: &[&str]) -> Self {
        let joined = parts.join(&SEPARATOR.to_string());
        Self(joined.bytes().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Takes a text from a client; it is checked when it is unpacked.
    pub fn from_client(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The sort key again, of exactly `N` parts.
    pub fn unpack<const N: usize>(&self) -> Result<[String; N], CursorError> {
        if self.0.len() > 2_048 || !self.0.len().is_multiple_of(2) || !self.0.is_ascii() {
            return Err(CursorError);
        }
        let bytes: Result<Vec<u8>, _> = (0..self.0.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(self.0.get(at..at + 2).unwrap_or_default(), 16))
            .collect();
        let text = String::from_utf8(bytes.map_err(|_| CursorError)?).map_err(|_| CursorError)?;
        // No list gives out a NUL, and PostgreSQL refuses it in a text.
        if text.contains('\0') {
            return Err(CursorError);
        }
        let parts: Vec<String> = text.split(SEPARATOR).map(str::to_owned).collect();
        parts.try_into().map_err(|_| CursorError)
    }

    /// The text that clients pass around.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items, in the order of the list.
    pub items: Vec<T>,
    /// Pass it as `?cursor=` for the next page; null on the last one.
    #[schema(value_type = Option<String>, required = true)]
    pub next_cursor: Option<Cursor>,
}

impl<T> Page<T> {
    /// Builds a page from up to `limit.probe()` rows: the extra row, if it came, only proves that more follow.
    pub fn from_probe(mut rows: Vec<T>, limit: Limit, key: impl Fn(&T) -> Cursor) -> Self {
        let size = usize::try_from(limit.get()).unwrap_or(usize::MAX);
        let more = rows.len() > size;
        rows.truncate(size);
        let next_cursor = if more { rows.last().map(key) } else { None };
        Self { items: rows, next_cursor }
    }

    /// The same page of other items.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next_cursor: self.next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_knows_whether_more_follow() {
        let limit = Limit::parse(2).unwrap();
        let key = |n: &i32| Cursor::pack(&[&n.to_string()]);
        let full = Page::from_probe(vec![1, 2, 3], limit, key);
        assert_eq!((full.items, full.next_cursor), (vec![1, 2], Some(Cursor::pack(&["2"]))));
        assert_eq!(Page::from_probe(vec![1, 2], limit, key).next_cursor, None);
    }

    #[test]
    fn a_cursor_survives_the_trip_and_a_forged_one_does_not() {
        let cursor = Cursor::pack(&["ÄPFEL & co", "7"]);
        let [name, id] = Cursor::from_client(cursor.as_str()).unpack::<2>().unwrap();
        assert_eq!((name.as_str(), id.as_str()), ("ÄPFEL & co", "7"));
        for bad in ["", "x", "zz", "€€", "ff", &"61".repeat(2_000)] {
            assert!(Cursor::from_client(bad).unpack::<2>().is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_are_bounded() {
        assert_eq!(Limit::default().get(), 20);
        assert_eq!(Limit::parse(0), Err(PageError));
        assert_eq!(Limit::parse(101), Err(PageError));
        assert_eq!(Limit::parse(100).map(Limit::probe), Ok(101));
    }
}
