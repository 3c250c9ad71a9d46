//! What a search compares: folded text, word by word.

use thiserror::Error;

/// The most words of one search.
pub(crate) const MAX_WORDS: usize = 10;
/// The longest search, in characters.
pub(crate) const MAX_CHARACTERS: usize = 200;

/// The most parts that a word is looked up by.
const MAX_PARTS: usize = 16;
/// The digits of a part of a number: as many as `digit_parts` takes, a function of the schema on PostgreSQL.
const DIGITS: usize = 5;

/// Why a text is no search.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("search: at most {MAX_WORDS} words, {MAX_CHARACTERS} characters, and no control characters")]
pub(crate) struct SearchError;

/// The words that all must occur, folded. None at all finds everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Words(Vec<String>);

impl Words {
    pub(crate) fn parse(text: &str) -> Result<Self, SearchError> {
        if text.chars().count() > MAX_CHARACTERS || text.chars().any(char::is_control) {
            return Err(SearchError);
        }
        let words: Vec<String> = fold(text).split_whitespace().map(str::to_owned).collect();
        if words.len() <= MAX_WORDS { Ok(Self(words)) } else { Err(SearchError) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// The parts of three characters that a word is looked up by in an index (trigrams), each once, [`MAX_PARTS`] at most: they narrow the search
/// down, and the text itself decides.
pub(crate) fn trigrams(word: &str) -> Vec<&str> {
    let ends = word.char_indices().map(|(at, _)| at).chain([word.len()]);
    let starts = word.char_indices().map(|(at, _)| at);
    different(starts.zip(ends.skip(3)).filter_map(|(start, end)| word.get(start..end)))
}

/// The same for a number: its parts of five digits. `None` for a word that is no number of so many: it may have rare letters beside digits that
/// many texts have.
pub(crate) fn digit_parts(word: &str) -> Option<Vec<&str>> {
    if word.len() < DIGITS || !word.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    Some(different((DIGITS..=word.len()).filter_map(|end| word.get(end - DIGITS..end))))
}

/// The first [`MAX_PARTS`], each once.
fn different<'w>(all: impl Iterator<Item = &'w str>) -> Vec<&'w str> {
    let mut parts: Vec<&str> = Vec::new();
    for part in all {
        if parts.len() < MAX_PARTS && !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts
}

/// Lower case in every script. The Greek final sigma becomes the plain one: which of the two `to_lowercase` gives
/// depends on what follows, and a word is searched for without what follows.
pub(crate) fn fold(text: &str) -> String {
    text.to_lowercase().replace('ς', "σ")
}

/// What a search looks at. A word has no space in it, so it never matches across two of these lines.
pub(crate) fn searchable(sku: &str, name: &str, description: Option<&str>) -> String {
    fold(&[name, sku, description.unwrap_or_default()].join("\n"))
}

/// The `LIKE` pattern, with `\` as its escape, that finds a word as it is written.
pub(crate) fn like_pattern(word: &str) -> String {
    let mut pattern = String::with_capacity(word.len() + 2);
    pattern.push('%');
    for letter in word.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_folded_words_within_bounds() {
        let words = Words::parse("  ÄPFEL\u{2003}100%  ").unwrap();
        assert_eq!(words.iter().collect::<Vec<_>>(), ["äpfel", "100%"]);
        assert_eq!(Words::parse(""), Ok(Words::default()));
        assert!(Words::parse(&"w ".repeat(10)).is_ok());
        for bad in [&"w ".repeat(11), &"x".repeat(201), "a\0b", "a\nb"] {
            assert_eq!(Words::parse(bad), Err(SearchError), "{bad:?}");
        }
    }

    #[test]
    fn the_case_of_no_script_matters() {
        assert_eq!(fold("ΟΔΟΣ"), fold("οδοσ"));
        assert!(searchable("MUG-1", "Straßen-Übersicht", Some("ÉCRU")).contains("übersicht"));
        assert!(!searchable("B", "a", None).contains("ab"));
    }

    #[test]
    fn a_word_is_looked_up_by_parts_of_three() {
        assert_eq!(trigrams("lämpe"), ["läm", "ämp", "mpe"]);
        assert_eq!(trigrams("椅子台"), ["椅子台"]);
        assert_eq!(trigrams("aaaaaa"), ["aaa"]);
        assert!(trigrams("ab").is_empty());
        let long: String = ('a'..='z').collect();
        assert_eq!(trigrams(&long).len(), MAX_PARTS);
    }

    #[test]
    fn a_number_is_looked_up_by_parts_of_five() {
        assert_eq!(digit_parts("4006381"), Some(vec!["40063", "00638", "06381"]));
        assert_eq!(digit_parts("12345"), Some(vec!["12345"]));
        assert_eq!(digit_parts("000000"), Some(vec!["00000"]));
        for none in ["", "1234", "1234x5678", "ean-4006381", "१२३४५६", "ä12345"] {
            assert_eq!(digit_parts(none), None, "{none}");
        }
        let long: String = (10..40).map(|n| n.to_string()).collect();
        assert_eq!(digit_parts(&long).map(|parts| parts.len()), Some(MAX_PARTS));
    }

    #[test]
    fn wildcards_are_letters() {
        assert_eq!(like_pattern(r"100%_\"), r"%100\%\_\\%");
    }
}
