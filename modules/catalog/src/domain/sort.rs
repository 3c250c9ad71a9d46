//! The orders in which products are listed.

use thiserror::Error;

/// By what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SortKey {
    /// Without regard to case.
    Name,
    Price,
    CreatedAt,
}

/// By what, and which way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Sort {
    pub(crate) key: SortKey,
    pub(crate) descending: bool,
}

/// Why a text is no sort.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("sort: one of name, -name, price, -price, created_at, -created_at")]
pub(crate) struct SortError;

impl Sort {
    /// Every sort that there is.
    pub(crate) const ALL: [Sort; 6] = [
        Sort { key: SortKey::Name, descending: false },
        Sort { key: SortKey::Name, descending: true },
        Sort { key: SortKey::Price, descending: false },
        Sort { key: SortKey::Price, descending: true },
        Sort { key: SortKey::CreatedAt, descending: false },
        Sort { key: SortKey::CreatedAt, descending: true },
    ];

    pub(crate) fn parse(text: &str) -> Result<Self, SortError> {
        Self::ALL.into_iter().find(|sort| sort.as_str() == text).ok_or(SortError)
    }

    /// As clients write it, and as cursors remember it.
    pub(crate) fn as_str(self) -> &'static str {
        match (self.key, self.descending) {
            (SortKey::Name, false) => "name",
            (SortKey::Name, true) => "-name",
            (SortKey::Price, false) => "price",
            (SortKey::Price, true) => "-price",
            (SortKey::CreatedAt, false) => "created_at",
            (SortKey::CreatedAt, true) => "-created_at",
        }
    }
}

impl Default for Sort {
    fn default() -> Self {
        Self { key: SortKey::Name, descending: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sort_reads_as_it_is_written() {
        for sort in Sort::ALL {
            assert_eq!(Sort::parse(sort.as_str()), Ok(sort));
        }
        for bad in ["", "-", "--name", "Name", "name,price", "id"] {
            assert_eq!(Sort::parse(bad), Err(SortError), "{bad}");
        }
    }
}
