//! Who calls whom: a module calls another if it names one of the other's ports.

use std::collections::{BTreeMap, BTreeSet};

use crate::Violation;
use crate::workspace::Workspace;

/// The calls that were agreed on, one `caller -> owner` a line. Changed by hand, with a reason in `docs/adr/`.
const AGREED: &str = "tests/architecture/port-calls.txt";

/// One module's use of another's port, where it first shows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    file: String,
    line: usize,
}

type Calls = BTreeMap<(String, String), Place>;

/// The calls are exactly those of `port-calls.txt`.
pub fn port_calls_are_those_agreed_on(workspace: &Workspace) -> Vec<Violation> {
    let Some(text) = workspace.text(AGREED) else {
        return vec![Violation::at(AGREED, 1, "the list of port calls is missing")];
    };
    let calls = calls(workspace);
    let mut agreed = BTreeSet::new();
    let mut violations = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some((caller, owner)) = line.split_once(" -> ") else {
            violations.push(Violation::at(AGREED, index + 1, "a line is `caller -> owner`"));
            continue;
        };
        let call = (caller.to_owned(), owner.to_owned());
        if !calls.contains_key(&call) {
            let problem = format!("{caller} is to call {owner}, but names none of its ports");
            violations.push(Violation::at(AGREED, index + 1, problem));
        }
        agreed.insert(call);
    }
    for (call, place) in calls.iter().filter(|(call, _)| !agreed.contains(call)) {
        let problem = format!("{} calls {}, which {AGREED} does not list", call.0, call.1);
        violations.push(Violation::at(&place.file, place.line, problem));
    }
    violations
}

/// No module waits for an answer that waits for it.
pub fn port_calls_are_acyclic(workspace: &Workspace) -> Vec<Violation> {
    let calls = calls(workspace);
    let mut violations = Vec::new();
    for ((caller, owner), place) in &calls {
        // Each cycle once: at the call out of its first module in the alphabet.
        let Some(way_back) = way(&calls, owner, caller) else { continue };
        if way_back.iter().all(|module| caller <= module) {
            let cycle = std::iter::once(caller).chain(&way_back).cloned().collect::<Vec<_>>().join(" -> ");
            violations.push(Violation::at(
                &place.file,
                place.line,
                format!("port calls in a circle: {cycle}"),
            ));
        }
    }
    violations
}

/// The shortest way along the calls, both ends included.
fn way(calls: &Calls, from: &str, to: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![from.to_owned()]];
    let mut seen = BTreeSet::from([from.to_owned()]);
    while !ways.is_empty() {
        if let Some(found) = ways.iter().find(|way| way.last().is_some_and(|end| end == to)) {
            return Some(found.clone());
        }
        let mut longer = Vec::new();
        for way in &ways {
            for (caller, owner) in calls.keys() {
                if way.last() == Some(caller) && seen.insert(owner.clone()) {
                    longer.push(way.iter().cloned().chain([owner.clone()]).collect());
                }
            }
        }
        ways = longer;
    }
    None
}

/// Tests of a module may fake what they like; its `src/` may not.
fn calls(workspace: &Workspace) -> Calls {
    let owners = owners(workspace);
    let mut calls = Calls::new();
    for module in &workspace.modules {
        for (file, mention) in workspace.mentions_below(&format!("modules/{module}/src/")) {
            let Some(owner) = mention.path.iter().find_map(|name| owners.get(name)) else { continue };
            if owner != module {
                let place = Place { file: file.to_owned(), line: mention.line };
                calls.entry((module.clone(), owner.clone())).or_insert(place);
            }
        }
    }
    calls
}

/// Which module's file in `contracts` declares which port.
fn owners(workspace: &Workspace) -> BTreeMap<String, String> {
    let mut owners = BTreeMap::new();
    for module in &workspace.modules {
        let contract = format!("modules/shared/contracts/src/{module}.rs");
        for source in workspace.sources.iter().filter(|source| source.path == contract) {
            for pair in source.mentions.windows(2) {
                if let [keyword, port] = pair
                    && keyword.is("trait")
                    && port.last().ends_with("Port")
                {
                    owners.insert(port.last().to_owned(), module.clone());
                }
            }
        }
    }
    owners
}
