//! Every module has the same rooms, so that who knows one knows all.

use crate::source::Source;
use crate::workspace::Workspace;
use crate::Violation;

/// Each module has its documentation on top, an error table, and its layers.
pub fn modules_have_the_same_rooms(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for module in &workspace.modules {
        let source = format!("modules/{module}/src");
        let lib = format!("{source}/lib.rs");
        match workspace.text(&lib) {
            None => violations.push(Violation::at(lib, 1, format!("{module} has no lib.rs"))),
            Some(text) if !text.starts_with("//!") => {
                violations.push(Violation::at(lib, 1, "does not begin with `//!`: what the module is for"));
            }
            Some(_) => {}
        }
        let error = format!("{source}/error.rs");
        if workspace.text(&error).is_none() {
            violations.push(Violation::at(error, 1, format!("{module} has no table of errors")));
        }
        for layer in ["app", "http", "store"] {
            let folder = format!("{source}/{layer}");
            if workspace.sources_below(&format!("{folder}/")).next().is_none() {
                violations.push(Violation::at(folder, 1, format!("{module} has no {layer}/")));
            }
        }
    }
    violations
}

/// The attributes of actix-web that make a function a handler.
const ROUTES: &[&str] =
    &["get", "post", "put", "patch", "delete", "head", "options", "connect", "trace", "route", "routes"];
/// Import and export of one table are two sides of one action.
const TWO_SIDES: &str = "transfer.rs";

/// A file in `http/` or `app/` holds one handler at most.
pub fn one_action_a_file(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for module in &workspace.modules {
        for layer in ["app", "http"] {
            for source in workspace.sources_below(&format!("modules/{module}/src/{layer}/")) {
                let room = if source.path.ends_with(&format!("/{TWO_SIDES}")) { 2 } else { 1 };
                for line in handlers(source).into_iter().skip(room) {
                    let problem = "another handler in this file; one action a file";
                    violations.push(Violation::at(&source.path, line, problem));
                }
            }
        }
    }
    violations
}

/// The lines of the functions that have a route; several routes may lead to one function.
fn handlers(source: &Source) -> Vec<usize> {
    let mut lines = Vec::new();
    let mut has_route = false;
    for mention in &source.mentions {
        if mention.names_attribute {
            has_route |= ROUTES.contains(&mention.last());
        } else if !mention.in_attribute && mention.is("fn") {
            if std::mem::take(&mut has_route) {
                lines.push(mention.line);
            }
        }
    }
    lines
}
