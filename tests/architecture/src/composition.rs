//! The composition root: `src/wiring.rs` alone knows who there is.

use crate::Violation;
use crate::source::{Follow, Lead};
use crate::workspace::Workspace;

const WIRING: &str = "src/wiring.rs";

/// In `src/`, only the wiring names modules as crates and asks which features are compiled.
pub fn only_the_wiring_names_modules(workspace: &Workspace) -> Vec<Violation> {
    if workspace.text(WIRING).is_none() {
        return vec![Violation::at(WIRING, 1, "there is no wiring")];
    }
    let mut violations = Vec::new();
    for (file, mention) in workspace.mentions_below("src/").filter(|(file, _)| *file != WIRING) {
        let is_a_path = mention.imported || mention.path.len() > 1;
        let crate_name = mention.path.first().filter(|_| mention.lead == Lead::Fresh && is_a_path);
        if crate_name.is_some_and(|name| workspace.modules.contains(name)) {
            let problem = format!("names the module {}; only {WIRING} may", mention.written());
            violations.push(Violation::at(file, mention.line, problem));
        }
        let in_cfg = mention.inside.as_deref().is_some_and(|inside| ["cfg", "cfg_attr"].contains(&inside));
        if in_cfg && mention.is("feature") && mention.follow == Follow::Equals {
            let problem = format!("asks for a feature of the build; only {WIRING} may");
            violations.push(Violation::at(file, mention.line, problem));
        }
    }
    violations
}
