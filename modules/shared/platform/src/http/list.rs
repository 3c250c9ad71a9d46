//! The two parameters that every list takes.

use kernel::{Cursor, Limit};

use crate::problem::{Problem, codes};

/// Reads `limit` and `cursor`.
pub fn page_of(limit: Option<u64>, cursor: Option<&str>) -> Result<(Limit, Option<Cursor>), Problem> {
    let limit = match limit {
        Some(number) => {
            Limit::parse(number).map_err(|error| Problem::new(codes::INVALID_QUERY, format!("{error}.")))?
        }
        None => Limit::default(),
    };
    Ok((limit, cursor.map(Cursor::from_client)))
}

impl From<kernel::CursorError> for Problem {
    fn from(error: kernel::CursorError) -> Self {
        Problem::new(codes::INVALID_QUERY, format!("{error}."))
    }
}
