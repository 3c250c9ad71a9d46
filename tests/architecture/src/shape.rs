//! Every module has the same rooms, so that who knows one knows all.

use std::collections::BTreeSet;

use crate::Violation;
use crate::source::Source;
use crate::workspace::Workspace;

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
    &["get", "post", "put", "patch", "delete", "head", "options", "connect", "trace", "route"];
/// Import and export of one table are two sides of one action.
const TWO_SIDES: &str = "transfer.rs";

/// A file in `http/` or `app/` holds one action at most. Several paths may lead to it if they differ in nothing but the
/// module in front: `POST /auth/login` and `POST /users/login` are two doors to one room.
pub fn one_action_a_file(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for module in &workspace.modules {
        for layer in ["app", "http"] {
            for source in workspace.sources_below(&format!("modules/{module}/src/{layer}/")) {
                let room = if source.path.ends_with(&format!("/{TWO_SIDES}")) { 2 } else { 1 };
                let mut actions = BTreeSet::new();
                for handler in handlers(source) {
                    if actions.insert(handler.action) && actions.len() > room {
                        let problem = "another action in this file; one action a file";
                        violations.push(Violation::at(&source.path, handler.line, problem));
                    }
                }
            }
        }
    }
    violations
}

struct Handler {
    line: usize,
    /// The method and path of its first route, without the module's name in front.
    action: String,
}

/// The functions that have a route; several routes may lead to one function.
fn handlers(source: &Source) -> Vec<Handler> {
    let mut handlers = Vec::new();
    let mut action = None;
    for mention in &source.mentions {
        if mention.names_attribute && ROUTES.contains(&mention.last()) {
            let path = source
                .texts
                .iter()
                .find(|text| text.line >= mention.line)
                .map_or("", |text| text.content.as_str());
            let below_the_module =
                path.trim_start_matches('/').split_once('/').map_or(path, |(_, below)| below);
            action.get_or_insert_with(|| format!("{} {below_the_module}", mention.last()));
        } else if !mention.in_attribute && mention.is("fn") {
            handlers.extend(action.take().map(|action| Handler { line: mention.line, action }));
        }
    }
    handlers
}
