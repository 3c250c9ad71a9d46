//! What no file of the repository may hold.

use crate::Violation;
use crate::source::{Follow, Mention};
use crate::workspace::Workspace;

/// Every `.rs` file is Rust; the other checks see nothing in one that is not.
pub fn sources_can_be_read(workspace: &Workspace) -> Vec<Violation> {
    let broken = |source: &crate::source::Source| {
        let cause = source.broken.as_ref()?;
        Some(Violation::at(&source.path, 1, format!("is not Rust: {cause}")))
    };
    workspace.sources.iter().filter_map(broken).collect()
}

/// No lint is silenced (expecting it, with a reason, is right), no test ignored, nothing left to do, nobody sleeps.
pub fn nothing_is_silenced_or_left_undone(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in &workspace.sources {
        for mention in &source.mentions {
            if let Some(problem) = bad_habit(mention) {
                violations.push(Violation::at(&source.path, mention.line, problem));
            }
        }
    }
    violations
}

fn bad_habit(mention: &Mention) -> Option<&'static str> {
    if mention.in_attribute && mention.is("allow") && mention.follow == Follow::Parenthesis {
        return Some("allows a lint; write #[expect(lint, reason = \"...\")]");
    }
    let switches = mention.names_attribute || mention.inside.as_deref() == Some("cfg_attr");
    if switches && mention.is("ignore") {
        return Some("ignores a test; make it pass or delete it");
    }
    if mention.follow == Follow::Bang && ["todo", "unimplemented"].contains(&mention.last()) {
        return Some("is left to do");
    }
    if mention.path.windows(2).any(|two| two == ["thread", "sleep"]) {
        return Some("sleeps; wait for a condition with a bound");
    }
    None
}

/// Beginnings of paths that exist on one machine only. In pieces, so that this file does not hold them itself.
const ONE_MACHINE: &[&str] = &[concat!("/", "work/"), concat!("/", "root/"), concat!("..", "/shared")];

/// A clone works anywhere: no path leads out of the repository.
pub fn no_paths_of_one_machine(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &workspace.files {
        for (index, line) in file.text.lines().enumerate() {
            if ONE_MACHINE.iter().any(|path| line.contains(path)) {
                violations.push(Violation::at(
                    &file.path,
                    index + 1,
                    "holds a path that leads out of the repository",
                ));
            }
        }
    }
    violations
}
