//! What the doctor found, as text and as JSON.

use kernel::Timestamp;
use platform::doctor::{OpenItem, OpenWork};
use platform::module::Check;
use serde_json::{Value, json};

/// Pieces of work of one kind that the text shows.
const SHOWN: usize = 10;

/// What was found in one module.
#[derive(Debug, Clone)]
pub struct Found<T> {
    pub module: &'static str,
    pub found: T,
}

/// What could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unchecked {
    pub module: &'static str,
    pub cause: String,
}

impl Unchecked {
    fn json(&self) -> Value {
        json!({"module": self.module, "cause": self.cause})
    }
}

/// The result of all checks.
#[derive(Debug, Clone)]
pub struct Checked {
    pub checks: Vec<Found<Check>>,
    pub unchecked: Vec<Unchecked>,
}

impl Checked {
    /// How many promises are broken.
    pub fn broken(&self) -> usize {
        self.checks.iter().filter(|check| !check.found.holds()).count()
    }

    /// 0: all hold. 1: at least one does not. 2: something could not be looked at, and what could holds.
    pub fn exit_code(&self) -> u8 {
        exit_code(self.broken() > 0, &self.unchecked)
    }

    /// The stable form for programs.
    pub fn json(&self) -> Value {
        let checks: Vec<_> = self
            .checks
            .iter()
            .map(|Found { module, found }| {
                json!({"module": module, "check": found.name, "promise": found.promise, "holds": found.holds(),
                    "violations": found.violations})
            })
            .collect();
        let unchecked: Vec<_> = self.unchecked.iter().map(Unchecked::json).collect();
        json!({"healthy": self.exit_code() == 0, "checks": checks, "unchecked": unchecked})
    }

    /// One line a check, with what breaks it below.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for Found { module, found } in &self.checks {
            let verdict = if found.holds() { "ok    " } else { "BROKEN" };
            lines.push(format!("{verdict} {module:<14} {}: {}", found.name, found.promise));
            lines.extend(found.violations.iter().map(|violation| format!("         {violation}")));
        }
        lines.extend(unchecked_lines(&self.unchecked));
        let (all, broken) = (self.checks.len(), self.broken());
        lines.push(match (broken, self.unchecked.is_empty()) {
            (0, true) => format!("all {all} checks hold"),
            (0, false) => format!("{all} checks hold, and not everything could be checked"),
            _ => format!("{broken} of {all} checks are broken"),
        });
        lines
    }
}

/// What has been begun and not ended.
#[derive(Debug, Clone)]
pub struct Opened {
    /// When it was looked at.
    pub now: Timestamp,
    /// Every kind of work, also those of which there is none.
    pub work: Vec<Found<OpenWork>>,
    pub unchecked: Vec<Unchecked>,
}

impl Opened {
    /// How much of it should have ended.
    pub fn overdue(&self) -> u64 {
        self.work.iter().map(|work| work.found.overdue).sum()
    }

    /// How much there is.
    pub fn count(&self) -> u64 {
        self.work.iter().map(|work| work.found.count).sum()
    }

    /// 0: nothing is overdue. 1: something is. 2: something could not be looked at, and nothing else is overdue.
    pub fn exit_code(&self) -> u8 {
        exit_code(self.overdue() > 0, &self.unchecked)
    }

    /// The stable form for programs.
    pub fn json(&self) -> Value {
        let items: Vec<_> = self
            .work
            .iter()
            .flat_map(|work| work.found.items.iter().map(move |item| self.item_json(work, item)))
            .collect();
        let kinds: Vec<_> = self
            .work
            .iter()
            .map(|Found { module, found }| {
                json!({"module": module, "kind": found.kind, "count": found.count, "overdue": found.overdue,
                    "oldest_age_ms": found.oldest.map(|since| self.age_ms(since))})
            })
            .collect();
        let unchecked: Vec<_> = self.unchecked.iter().map(Unchecked::json).collect();
        json!({"open": items, "count": self.count(), "overdue": self.overdue(), "kinds": kinds, "unchecked": unchecked})
    }

    /// Each kind of work with what it waits for, and below it the oldest pieces of it.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for Found { module, found } in self.work.iter().filter(|work| work.found.count > 0) {
            let verdict = if found.overdue > 0 { "OVERDUE" } else { "open   " };
            lines.push(format!(
                "{verdict} {module:<14} {} ({}): waits for {}",
                found.kind, found.count, found.waits_for
            ));
            for item in found.items.iter().take(SHOWN) {
                let (age_s, late) =
                    (self.age_ms(item.since) / 1_000, if item.overdue { ", overdue" } else { "" });
                lines.push(format!("        {} for {age_s} s{late}: {}", item.id, item.what));
                lines.extend(item.last_error.iter().map(|error| format!("            last error: {error}")));
            }
            if found.items.len() > SHOWN {
                lines.push(format!("        and more; --json lists the oldest {}", found.items.len()));
            }
            if found.overdue > 0 {
                lines.push(format!("        what to do: {}", found.advice));
            }
        }
        lines.extend(unchecked_lines(&self.unchecked));
        lines.push(match (self.count(), self.unchecked.is_empty()) {
            (0, true) => "nothing is open".to_owned(),
            (0, false) => "nothing is open where it could be looked".to_owned(),
            (count, _) => format!("{count} open, {} overdue", self.overdue()),
        });
        lines
    }

    fn item_json(&self, work: &Found<OpenWork>, item: &OpenItem) -> Value {
        json!({"module": work.module, "kind": work.found.kind, "id": item.id, "what": item.what,
            "age_ms": self.age_ms(item.since), "overdue": item.overdue, "waits_for": work.found.waits_for,
            "advice": work.found.advice, "last_error": item.last_error})
    }

    fn age_ms(&self, since: Timestamp) -> i64 {
        self.now.ms().saturating_sub(since.ms()).max(0)
    }
}

fn exit_code(is_bad: bool, unchecked: &[Unchecked]) -> u8 {
    match (is_bad, unchecked.is_empty()) {
        (true, _) => 1,
        (false, false) => 2,
        (false, true) => 0,
    }
}

fn unchecked_lines(unchecked: &[Unchecked]) -> impl Iterator<Item = String> {
    unchecked.iter().map(|Unchecked { module, cause }| format!("UNKNOWN {module:<13} {cause}"))
}
