//! A small workspace that keeps every rule, and ways to break one.

use std::fs;
use std::path::Path;

use architecture::{CHECKS, Workspace};
use tempfile::TempDir;

/// A change to the small workspace.
#[derive(Debug, Clone, Copy)]
pub enum Plant {
    /// A new file, or another text for one that is there.
    Write(&'static str, &'static str),
    /// More lines at the end.
    Append(&'static str, &'static str),
    /// Another text in the place of one.
    Swap(&'static str, &'static str, &'static str),
    /// The file or folder is gone.
    Remove(&'static str),
}

/// Every violation that every check finds after these changes, as `check | file:line: problem`.
pub fn violations_after(plants: &[Plant]) -> Vec<String> {
    let shop = TempDir::new().unwrap();
    for (path, text) in FILES {
        write(shop.path(), path, text);
    }
    for plant in plants {
        plant.put_into(shop.path());
    }
    let workspace = Workspace::read(shop.path()).unwrap();
    let found = |check: &architecture::Check| {
        let name = check.name;
        (check.run)(&workspace)
            .into_iter()
            .map(move |violation| format!("{name} | {violation}"))
            .collect::<Vec<_>>()
    };
    CHECKS.iter().flat_map(found).collect()
}

impl Plant {
    fn put_into(self, root: &Path) {
        match self {
            Plant::Write(path, text) => write(root, path, text),
            Plant::Append(path, text) => write(root, path, &(read(root, path) + text)),
            Plant::Swap(path, old, new) => {
                let text = read(root, path);
                assert!(text.contains(old), "{path} does not say {old}");
                write(root, path, &text.replace(old, new));
            }
            Plant::Remove(path) => {
                let path = root.join(path);
                if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
            }
        }
    }
}

fn read(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap()
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Two modules; `beta` calls `alpha`. Each file also holds what only looks like a violation.
const FILES: &[(&str, &str)] = &[
    (
        "Cargo.toml",
        r#"[workspace]
members = ["migrations", "modules/alpha", "modules/beta", "modules/shared/contracts", "modules/shared/kernel"]

[package]
name = "shop"
version = "0.1.0"
edition = "2024"

[features]
default = ["alpha", "beta"]
alpha = ["dep:alpha"]
beta = ["dep:beta"]

[workspace.dependencies]
contracts = { path = "modules/shared/contracts" }

[dependencies]
alpha = { package = "shop-alpha", path = "modules/alpha", optional = true }
beta = { package = "shop-beta", path = "modules/beta", optional = true }
contracts.workspace = true
"#,
    ),
    (
        "src/main.rs",
        r#"//! Speaks of `alpha::Alpha` and of #[allow(dead_code)] in words only.
mod wiring;

use contracts::{alpha, beta as other};

/// As [`beta::Beta`] does.
fn main() {
    let beta = "beta::Beta, todo!() and thread::sleep";
    let _ = (alpha::NAME, other::NAME, crate::wiring::alpha::name(), cfg!(test), beta.len());
}
"#,
    ),
    (
        "src/wiring.rs",
        r#"#[cfg(feature = "alpha")]
pub use alpha::Alpha;
#[cfg(feature = "beta")]
pub use ::beta as second;
"#,
    ),
    (
        "migrations/Cargo.toml",
        r#"[package]
name = "migrations"
version = "0.1.0"
edition = "2024"
"#,
    ),
    (
        "migrations/src/lib.rs",
        r#"macro_rules! migrators {
    ($($module:ident => $migrator:ident),+ $(,)?) => {};
}

migrators! {
    alpha => Alpha,
    beta => Beta,
}
"#,
    ),
    (
        "modules/shared/kernel/Cargo.toml",
        r#"[package]
name = "kernel"
version = "0.1.0"
edition = "2024"
"#,
    ),
    ("modules/shared/kernel/src/lib.rs", "//! Knows nothing of sea_orm::DbErr.\n"),
    (
        "modules/shared/contracts/Cargo.toml",
        r#"[package]
name = "contracts"
version = "0.1.0"
edition = "2024"

[dependencies]
kernel = { path = "../kernel" }
"#,
    ),
    ("modules/shared/contracts/src/lib.rs", "pub mod alpha;\npub mod beta;\n"),
    ("modules/shared/contracts/src/alpha.rs", "pub trait AlphaPort {}\npub const NAME: &str = \"alpha\";\n"),
    ("modules/shared/contracts/src/beta.rs", "pub trait BetaPort {}\npub const NAME: &str = \"beta\";\n"),
    (
        "modules/alpha/Cargo.toml",
        r#"[package]
name = "shop-alpha"
version = "0.1.0"
edition = "2024"

[dependencies]
contracts.workspace = true
"#,
    ),
    ("modules/alpha/src/lib.rs", "//! Alpha.\n\npub struct Alpha;\n"),
    ("modules/alpha/src/error.rs", "pub enum AlphaError {}\n"),
    ("modules/alpha/src/port.rs", "use contracts::alpha::AlphaPort;\n\nimpl AlphaPort for crate::Alpha {}\n"),
    (
        "modules/alpha/src/domain/mod.rs",
        r#"//! Pure: no async, no serde::Serialize, no SystemTime::now().
pub fn due(now: i64, begin: impl Fn(i64) -> i64) -> i64 {
    begin(now)
}
"#,
    ),
    (
        "modules/alpha/src/app/mod.rs",
        r#"use sea_orm::DbErr;

pub async fn place(db: &Db) -> Result<(), DbErr> {
    let tx = db.begin().await?;
    crate::store::begin(&tx).await?;
    tx.commit().await
}
"#,
    ),
    (
        "modules/alpha/src/store/mod.rs",
        r#"pub async fn begin(conn: &impl sea_orm::ConnectionTrait) -> Result<(), sea_orm::DbErr> {
    conn.execute_unprepared("UPDATE payments SET begun = 1").await
}

pub async fn twice(conn: &impl sea_orm::ConnectionTrait) -> Result<(), sea_orm::DbErr> {
    crate::store::begin(conn).await?;
    begin(conn).await
}
"#,
    ),
    (
        "modules/alpha/src/http/get_alpha.rs",
        r#"/// Select one from the list
#[utoipa::path(params(("id" = String, Path, description = "Select one from the list")))]
#[actix_web::routes]
#[get("/alpha")]
#[get("/first")]
pub(crate) async fn get_alpha() -> &'static str {
    name()
}

fn name() -> &'static str {
    "alpha"
}
"#,
    ),
    (
        "modules/alpha/src/http/login.rs",
        r#"#[post("/alpha/login")]
pub(crate) async fn login() {}

#[post("/beta/login")]
pub(crate) async fn login_at_the_other_door() {}
"#,
    ),
    (
        "modules/alpha/src/http/transfer.rs",
        r#"use actix_web::{get, post};

#[post("/alpha/import")]
pub(crate) async fn import_alpha() {}

#[get("/alpha/export")]
pub(crate) async fn export_alpha() {}
"#,
    ),
    (
        "modules/beta/Cargo.toml",
        r#"[package]
name = "shop-beta"
version = "0.1.0"
edition = "2024"

[dependencies]
contracts.workspace = true
"#,
    ),
    (
        "modules/beta/src/lib.rs",
        "//! Beta.\n\nuse contracts::alpha::AlphaPort;\nuse contracts::beta::BetaPort;\n",
    ),
    ("modules/beta/src/error.rs", "pub enum BetaError {}\n"),
    ("modules/beta/src/app/mod.rs", "//! Use cases.\n"),
    ("modules/beta/src/http/mod.rs", "//! Routes.\n"),
    ("modules/beta/src/store/mod.rs", "//! Tables.\n"),
    ("modules/beta/tests/beta.rs", "use contracts::beta::BetaPort;\n\n#[test]\nfn it_works() {}\n"),
    ("tests/architecture/port-calls.txt", "beta -> alpha\n"),
];
