//! Which crate may depend on which, over `cargo metadata`: Cargo keeps to what it is told, so it must be told right.

use std::collections::BTreeSet;

use cargo_metadata::{Dependency, DependencyKind, Package};
use proc_macro2::{TokenStream, TokenTree};

use crate::Violation;
use crate::workspace::Workspace;

/// A module crate never depends on another module crate, in no kind of dependency and under no name.
pub fn modules_do_not_depend_on_one_another(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for module in &workspace.modules {
        let Some(package) = workspace.package_in(&format!("modules/{module}")) else {
            let manifest = format!("modules/{module}/Cargo.toml");
            violations.push(Violation::at(
                manifest,
                1,
                format!("the module {module} is no crate of the workspace"),
            ));
            continue;
        };
        for (dependency, target) in local_dependencies(workspace, package) {
            if let Some(other) = workspace.module_of(target).filter(|other| other != module) {
                let problem =
                    format!("the module {module} depends on the module {other} ({})", kind(dependency));
                violations.push(at_dependency(workspace, package, dependency, problem));
            }
        }
    }
    violations
}

/// Modules are put together in one place, the root package, and nothing stands on that: a crate that depended on it
/// would have every module behind its back. This holds for shared crates, migrations and tools alike.
pub fn only_the_root_depends_on_modules(workspace: &Workspace) -> Vec<Violation> {
    let root = workspace.package_in("");
    let is_root = |package: &Package| root.is_some_and(|root| root.id == package.id);
    let mut violations = Vec::new();
    for package in workspace.packages.iter().filter(|package| !is_root(package)) {
        for (dependency, target) in local_dependencies(workspace, package) {
            let problem = match workspace.module_of(target) {
                // Modules among themselves are the affair of the other check.
                Some(other) if workspace.module_of(package).is_none() => {
                    format!("{} depends on the module {other} ({})", package.name, kind(dependency))
                }
                None if is_root(target) => {
                    format!("{} depends on the composition root ({})", package.name, kind(dependency))
                }
                _ => continue,
            };
            violations.push(at_dependency(workspace, package, dependency, problem));
        }
    }
    violations
}

/// The crates that every module may name freely, because nothing of the web or of a database comes along.
const PURE: &[&str] = &["kernel", "contracts"];
const IMPURE: &[&str] = &["actix", "sea_orm", "sea_query", "sqlx"];

/// `kernel` and `contracts` are free of actix and sea-orm.
pub fn kernel_and_contracts_are_pure(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for name in PURE {
        let folder = format!("modules/shared/{name}");
        let Some(package) = workspace.package_in(&folder) else {
            violations.push(Violation::at(
                format!("{folder}/Cargo.toml"),
                1,
                format!("there is no crate {name}"),
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let snake = dependency.name.replace('-', "_");
            if IMPURE.iter().any(|impure| snake.starts_with(impure)) {
                let problem = format!("{name} depends on {} ({})", dependency.name, kind(dependency));
                violations.push(at_dependency(workspace, package, dependency, problem));
            }
        }
        for (file, mention) in workspace.mentions_below(&format!("{folder}/")) {
            if IMPURE.iter().any(|impure| mention.has_prefix(impure)) {
                violations.push(Violation::at(
                    file,
                    mention.line,
                    format!("{name} names {}", mention.written()),
                ));
            }
        }
    }
    violations
}

/// Every module has a Cargo feature of its name in the root package that turns its crate on, and `default` is all of them.
pub fn every_module_is_a_feature(workspace: &Workspace) -> Vec<Violation> {
    let Some(root) = workspace.package_in("") else {
        return vec![Violation::at("Cargo.toml", 1, "there is no root package")];
    };
    let at =
        |problem: String| Violation::at("Cargo.toml", line_of(workspace, "Cargo.toml", "default"), problem);
    let mut violations = Vec::new();
    for module in &workspace.modules {
        match root.features.get(module) {
            None => violations.push(at(format!("there is no feature {module}"))),
            Some(parts) if !parts.contains(&format!("dep:{module}")) => {
                violations.push(at(format!("the feature {module} does not turn on dep:{module}")));
            }
            Some(_) => {}
        }
    }
    let default: BTreeSet<String> =
        root.features.get("default").cloned().unwrap_or_default().into_iter().collect();
    let missing = workspace.modules.difference(&default);
    violations.extend(missing.map(|module| at(format!("the default features leave out {module}"))));
    let foreign = default.difference(&workspace.modules);
    violations.extend(foreign.map(|feature| at(format!("the default feature {feature} is no module"))));
    violations
}

const MIGRATIONS: &str = "migrations/src/lib.rs";

/// The migrations crate lists exactly the modules, in the brackets of `migrators!`.
pub fn every_module_has_a_migrator(workspace: &Workspace) -> Vec<Violation> {
    let listed = workspace.text(MIGRATIONS).and_then(|text| text.parse().ok()).and_then(listed_migrators);
    let Some((line, listed)) = listed else {
        return vec![Violation::at(
            MIGRATIONS,
            1,
            "there is no list `migrators! { module => Migrator, ... }`",
        )];
    };
    let at = |problem: String| Violation::at(MIGRATIONS, line, problem);
    let missing = workspace.modules.difference(&listed).map(|module| at(format!("{module} has no migrator")));
    let foreign = listed.difference(&workspace.modules).map(|name| at(format!("{name} is no module")));
    missing.chain(foreign).collect()
}

fn listed_migrators(tokens: TokenStream) -> Option<(usize, BTreeSet<String>)> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    tokens.windows(3).find_map(|three| match three {
        [TokenTree::Ident(name), TokenTree::Punct(bang), TokenTree::Group(list)]
            if *name == "migrators" && bang.as_char() == '!' =>
        {
            let entries: Vec<TokenTree> = list.stream().into_iter().collect();
            let modules = entries.windows(2).filter_map(|two| match two {
                [TokenTree::Ident(module), TokenTree::Punct(arrow)] if arrow.as_char() == '=' => {
                    Some(module.to_string())
                }
                _ => None,
            });
            Some((name.span().start().line, modules.collect()))
        }
        _ => None,
    })
}

/// The dependencies of a package that are packages of the workspace, whatever they are called.
fn local_dependencies<'a>(
    workspace: &'a Workspace,
    package: &'a Package,
) -> impl Iterator<Item = (&'a Dependency, &'a Package)> {
    package.dependencies.iter().filter_map(|dependency| {
        let is_target = |other: &&Package| {
            let folder = other.manifest_path.parent();
            dependency.path.is_some() && dependency.path.as_deref() == folder
                || *other.name == dependency.name
        };
        Some((dependency, workspace.packages.iter().find(is_target)?))
    })
}

fn kind(dependency: &Dependency) -> &'static str {
    match dependency.kind {
        DependencyKind::Normal => "normal dependency",
        DependencyKind::Development => "dev-dependency",
        DependencyKind::Build => "build-dependency",
        _ => "dependency",
    }
}

fn at_dependency(
    workspace: &Workspace,
    package: &Package,
    dependency: &Dependency,
    problem: String,
) -> Violation {
    let manifest = workspace.manifest_of(package);
    let line = line_of(workspace, &manifest, dependency.rename.as_ref().unwrap_or(&dependency.name));
    Violation::at(manifest, line, problem)
}

/// The first line of a manifest that sets this key, or opens its table.
fn line_of(workspace: &Workspace, manifest: &str, key: &str) -> usize {
    let sets_it = |line: &str| {
        let rest = line.trim_start().strip_prefix(key).map(str::trim_start);
        rest.is_some_and(|rest| rest.starts_with(['=', '.']))
            || line.trim_end().ends_with(&format!("dependencies.{key}]"))
    };
    workspace.text(manifest).and_then(|text| text.lines().position(sets_it)).map_or(1, |index| index + 1)
}
