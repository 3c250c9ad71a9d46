//! The walls of the house: what the crates, layers and files of this repository may not do to one another.
//!
//! Every check is a function over a whole [`Workspace`] that returns each [`Violation`] with its file and line. Modules are
//! read from the folder `modules/`, never from a list, so a new module is held to the same rules from its first day.
//! `tests/workspace.rs` runs the checks on this repository, `tests/planted/` proves each of them on a small workspace with
//! that one violation in it.
//!
//! Rejected: reading sources as syntax trees. A tree leaves what stands inside a macro's brackets unread, and
//! `tokio::select!` or `json!` hide as much as they please there. Tokens have no such rooms; comments and strings are
//! no paths in them either.

mod composition;
mod habits;
mod layers;
mod ports;
mod shape;
mod walls;

mod source;
mod workspace;

use std::fmt;

pub use workspace::{Unreadable, Workspace};

/// A place where a rule does not hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Below the root of the workspace, with `/` between folders.
    pub file: String,
    /// From 1; also 1 where the file as a whole is meant, or is missing.
    pub line: usize,
    /// What is wrong, in one sentence.
    pub problem: String,
}

impl Violation {
    fn at(file: impl Into<String>, line: usize, problem: impl Into<String>) -> Self {
        Self { file: file.into(), line, problem: problem.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.problem)
    }
}

/// A rule.
pub struct Check {
    /// The function's name.
    pub name: &'static str,
    /// Returns every place where the rule does not hold.
    pub run: fn(&Workspace) -> Vec<Violation>,
}

macro_rules! checks {
    ($($room:ident :: $name:ident),+ $(,)?) => {
        /// Every check of this crate.
        pub const CHECKS: &[Check] = &[$(Check { name: stringify!($name), run: $room::$name }),+];
    };
}

checks! {
    walls::modules_do_not_depend_on_one_another,
    walls::only_the_root_depends_on_modules,
    walls::kernel_and_contracts_are_pure,
    walls::every_module_is_a_feature,
    walls::every_module_has_a_migrator,
    composition::only_the_wiring_names_modules,
    layers::layers_keep_to_themselves,
    ports::port_calls_are_those_agreed_on,
    ports::port_calls_are_acyclic,
    shape::modules_have_the_same_rooms,
    shape::one_action_a_file,
    habits::sources_can_be_read,
    habits::nothing_is_silenced_or_left_undone,
    habits::no_paths_of_one_machine,
}
