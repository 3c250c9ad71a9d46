//! What each layer of a module may not know.

use crate::Violation;
use crate::source::{Mention, Source};
use crate::workspace::Workspace;

/// A folder of a module with what is foreign to it.
struct Layer {
    folder: &'static str,
    /// Beginnings of crate names: `serde` is `serde_json` too.
    crates: &'static [&'static str],
    /// Names and keywords, wherever they come from.
    names: &'static [&'static str],
    /// Methods and associated functions.
    calls: &'static [&'static str],
    /// Whether SQL may stand in its strings.
    sql: bool,
}

const LAYERS: &[Layer] = &[
    // Pure and synchronous; the time comes in as a value.
    Layer {
        folder: "domain",
        crates: &["actix", "sea_orm", "sea_query", "sqlx", "serde", "tokio"],
        names: &["async", "await", "Serialize", "Deserialize", "SystemTime", "Instant"],
        calls: &["now", "now_utc", "now_local"],
        sql: false,
    },
    // No HTTP: a use case reads the same for a handler, the port, an event and the command line.
    Layer { folder: "app", crates: &["actix"], names: &[], calls: &[], sql: false },
    // No database: parse, call, map, respond.
    Layer { folder: "http", crates: &["sea_orm", "sea_query", "sqlx"], names: &[], calls: &[], sql: false },
    // Queries run on the connection they are given: where a transaction begins and ends is the use case's decision.
    Layer {
        folder: "store",
        crates: &["actix"],
        names: &["TransactionTrait"],
        calls: &["begin", "begin_with_options", "begin_with_config", "transaction", "commit", "rollback"],
        sql: true,
    },
];

/// `domain/` is pure, `app/` knows no HTTP, `http/` no database, `store/` no transactions.
pub fn layers_keep_to_themselves(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for module in &workspace.modules {
        for layer in LAYERS {
            let folder = format!("modules/{module}/src/{}", layer.folder);
            let is_its = |source: &&Source| {
                source.path.strip_prefix(&folder).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            };
            for source in workspace.sources.iter().filter(is_its) {
                violations.extend(layer.foreign_to_it(source));
            }
        }
    }
    violations
}

impl Layer {
    fn foreign_to_it(&self, source: &Source) -> Vec<Violation> {
        let mut violations = Vec::new();
        for mention in &source.mentions {
            if let Some(problem) = self.refuses(mention) {
                violations.push(Violation::at(&source.path, mention.line, problem));
            }
        }
        for text in source.texts.iter().filter(|text| !self.sql && looks_like_sql(&text.content)) {
            violations.push(Violation::at(&source.path, text.line, format!("{}/ holds SQL", self.folder)));
        }
        violations
    }

    fn refuses(&self, mention: &Mention) -> Option<String> {
        let is_named = |name: &&str| mention.path.iter().any(|part| part == name);
        if self.crates.iter().any(|name| mention.has_prefix(name)) || self.names.iter().any(is_named) {
            return Some(format!("{}/ names {}", self.folder, mention.written()));
        }
        if self.calls.iter().any(|name| mention.calls_method(name)) {
            return Some(format!("{}/ calls {}()", self.folder, mention.last()));
        }
        None
    }
}

/// A statement in capitals or in small letters; `Select one from the list` is a sentence.
fn looks_like_sql(text: &str) -> bool {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || "\"\\(),;".contains(c)).filter(|w| !w.is_empty()).collect();
    let is = |word: &str, keyword: &str| word == keyword || word == keyword.to_lowercase();
    let has = |keyword: &str| words.iter().any(|word| is(word, keyword));
    match words.as_slice() {
        [first, ..] if is(first, "SELECT") => has("FROM"),
        [first, second, ..] if is(first, "INSERT") => is(second, "INTO"),
        [first, second, ..] if is(first, "DELETE") => is(second, "FROM"),
        [first, ..] if is(first, "UPDATE") => has("SET"),
        [first, ..] if is(first, "WITH") => has("SELECT"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::looks_like_sql;

    #[test]
    fn sql_is_told_from_sentences() {
        for sql in [
            "SELECT 1 FROM x",
            "select a\nfrom b",
            "INSERT INTO x",
            "UPDATE x SET y = 1",
            "WITH a AS (SELECT 1)",
        ] {
            assert!(looks_like_sql(sql), "{sql}");
        }
        for text in
            ["Select one from the list", "Update the price", "delete it", "WITH LOVE", "", "FROM x SELECT y"]
        {
            assert!(!looks_like_sql(text), "{text}");
        }
    }
}
