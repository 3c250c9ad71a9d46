//! What a user told the shop to remember: keys with any JSON text as their value, of a bounded size.

use std::collections::BTreeMap;

use thiserror::Error;

/// The most bytes of all preferences as JSON, escapes in keys not counted.
pub(crate) const MAX_BYTES: usize = 8 * 1024;

/// Why preferences are not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("preferences have at most {MAX_BYTES} bytes in all")]
pub(crate) struct PreferencesRefusal;

/// Each key with its value as JSON text.
pub(crate) type Preferences = BTreeMap<String, String>;

/// The known preferences with some changed: a key without a value is forgotten, the others stay.
pub(crate) fn merge(
    mut known: Preferences,
    changes: BTreeMap<String, Option<String>>,
) -> Result<Preferences, PreferencesRefusal> {
    for (key, value) in changes {
        match value {
            Some(value) => known.insert(key, value),
            None => known.remove(&key),
        };
    }
    // A key has its quotes and colon, a pair its comma: what the JSON text is made of.
    let bytes: usize = known.iter().map(|(key, value)| key.len() + value.len() + 4).sum();
    if bytes <= MAX_BYTES { Ok(known) } else { Err(PreferencesRefusal) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_set_forgotten_and_kept() {
        let known = Preferences::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        let changes = BTreeMap::from([("a".to_owned(), None), ("c".to_owned(), Some("3".to_owned()))]);
        let merged = merge(known, changes).unwrap();
        assert_eq!(merged.into_keys().collect::<Vec<_>>(), ["b", "c"]);
        let huge = BTreeMap::from([("k".to_owned(), Some("x".repeat(MAX_BYTES)))]);
        assert_eq!(merge(Preferences::new(), huge), Err(PreferencesRefusal));
    }
}
