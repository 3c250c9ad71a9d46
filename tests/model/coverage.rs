//! Which rows of the shipped tables were taken, and how often.

use std::collections::BTreeMap;

/// Counts by machine and row of its table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Coverage {
    pub(crate) rows: BTreeMap<(&'static str, usize), u64>,
    /// Answers that a table does not know, in words.
    pub(crate) unknown: Option<String>,
}

impl Coverage {
    pub(crate) fn add(&mut self, other: &Coverage) {
        for (row, count) in &other.rows {
            *self.rows.entry(*row).or_default() += count;
        }
        if self.unknown.is_none() {
            self.unknown.clone_from(&other.unknown);
        }
    }

    pub(crate) fn of(&self, machine: &'static str, row: usize) -> u64 {
        self.rows.get(&(machine, row)).copied().unwrap_or_default()
    }
}

/// The next step by the shipped table of a machine; the row is counted and told.
macro_rules! follow {
    ($world:expr, $machine:ident, $step:expr, $heard:expr) => {{
        let (step, heard) = ($step, $heard);
        let next = $machine::next(step, heard);
        let row = $machine::TABLE.iter().position(|(at, said, _)| (*at, *said) == (step, heard));
        let told = || format!("{}: {step:?} heard {heard:?}, now {next:?}", stringify!($machine));
        match row {
            Some(row) => *$world.coverage.rows.entry((stringify!($machine), row)).or_default() += 1,
            None => $world.coverage.unknown = Some(told()),
        }
        $world.say(told);
        next
    }};
}
pub(crate) use follow;
