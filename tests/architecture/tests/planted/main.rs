//! Each check finds what it is there to find, and nothing else: a violation is planted in a small workspace that keeps
//! every rule, and all checks run over it.
#![expect(clippy::unwrap_used, reason = "a workspace that cannot be made proves nothing")]

mod shop;

use std::collections::BTreeSet;

use architecture::CHECKS;
use shop::Plant::{Append, Remove, Swap, Write};
use shop::violations_after;

#[test]
fn a_workspace_that_keeps_every_rule_has_no_violations() {
    assert_eq!(violations_after(&[]), Vec::<String>::new());
}

macro_rules! planted {
    ($($name:ident: [$($plant:expr),+ $(,)?] => [$($violation:literal),+ $(,)?];)+) => {
        $(
            #[test]
            fn $name() {
                assert_eq!(violations_after(&[$($plant),+]), [$($violation),+]);
            }
        )+

        /// The first words of each expectation are the check's name.
        #[test]
        fn every_check_is_proven() {
            let proven: BTreeSet<&str> = [$($($violation),+),+].iter().filter_map(|line| line.split(' ').next()).collect();
            let all: BTreeSet<&str> = CHECKS.iter().map(|check| check.name).collect();
            assert_eq!(proven, all);
        }
    };
}

planted! {
    a_module_depends_on_another: [
        Append("modules/beta/Cargo.toml", "alpha = { package = \"shop-alpha\", path = \"../alpha\" }\n"),
    ] => [
        "modules_do_not_depend_on_one_another | modules/beta/Cargo.toml:8: the module beta depends on the module alpha (normal dependency)",
    ];

    a_module_depends_on_another_under_a_false_name: [
        Append("modules/beta/Cargo.toml", "[dependencies.harmless]\npackage = \"shop-alpha\"\npath = \"../alpha\"\n"),
    ] => [
        "modules_do_not_depend_on_one_another | modules/beta/Cargo.toml:8: the module beta depends on the module alpha (normal dependency)",
    ];

    a_module_depends_on_another_for_its_tests: [
        Append("modules/alpha/Cargo.toml", "[dev-dependencies]\nshop-beta = { path = \"../beta\" }\n"),
    ] => [
        "modules_do_not_depend_on_one_another | modules/alpha/Cargo.toml:9: the module alpha depends on the module beta (dev-dependency)",
    ];

    a_module_depends_on_another_for_its_build_on_one_system: [
        Append("modules/alpha/Cargo.toml", "[target.'cfg(unix)'.build-dependencies]\nshop-beta.path = \"../beta\"\n"),
    ] => [
        "modules_do_not_depend_on_one_another | modules/alpha/Cargo.toml:9: the module alpha depends on the module beta (build-dependency)",
    ];

    a_module_reaches_the_others_through_the_composition_root: [
        Append("modules/alpha/Cargo.toml", "[dev-dependencies]\nshop = { path = \"../..\" }\n"),
    ] => [
        "only_the_root_depends_on_modules | modules/alpha/Cargo.toml:9: shop-alpha depends on the composition root (dev-dependency)",
    ];

    a_module_is_no_member: [
        Swap("Cargo.toml", "beta = { package = \"shop-beta\", path = \"modules/beta\", optional = true }\n", ""),
        Swap("Cargo.toml", "\"modules/beta\", ", ""),
        Swap("Cargo.toml", "beta = [\"dep:beta\"]", "beta = []"),
    ] => [
        "modules_do_not_depend_on_one_another | modules/beta/Cargo.toml:1: the module beta is no crate of the workspace",
        "every_module_is_a_feature | Cargo.toml:10: the feature beta does not turn on dep:beta",
    ];

    a_shared_crate_depends_on_a_module: [
        Append("modules/shared/contracts/Cargo.toml", "shop-alpha = { path = \"../../alpha\" }\n"),
    ] => [
        "only_the_root_depends_on_modules | modules/shared/contracts/Cargo.toml:8: contracts depends on the module alpha (normal dependency)",
    ];

    migrations_depend_on_a_module: [
        Append("migrations/Cargo.toml", "[dev-dependencies]\nfirst = { package = \"shop-alpha\", path = \"../modules/alpha\" }\n"),
    ] => [
        "only_the_root_depends_on_modules | migrations/Cargo.toml:6: migrations depends on the module alpha (dev-dependency)",
    ];

    the_contracts_depend_on_a_database: [
        Append("modules/shared/contracts/Cargo.toml", "db = { package = \"sea-orm\", version = \"2\" }\n"),
    ] => [
        "kernel_and_contracts_are_pure | modules/shared/contracts/Cargo.toml:8: contracts depends on sea-orm (normal dependency)",
    ];

    the_kernel_names_the_web: [
        Append("modules/shared/kernel/src/lib.rs", "pub type Answer = platform::actix_web::HttpResponse;\n"),
    ] => [
        "kernel_and_contracts_are_pure | modules/shared/kernel/src/lib.rs:2: kernel names platform::actix_web::HttpResponse",
    ];

    a_module_has_no_feature: [
        Swap("Cargo.toml", "beta = [\"dep:beta\"]\n", ""),
        Swap("Cargo.toml", "\"alpha\", \"beta\"]\nalpha", "\"alpha\"]\nalpha"),
        Swap("Cargo.toml", "path = \"modules/beta\", optional = true", "path = \"modules/beta\""),
    ] => [
        "every_module_is_a_feature | Cargo.toml:10: there is no feature beta",
        "every_module_is_a_feature | Cargo.toml:10: the default features leave out beta",
    ];

    the_default_features_leave_a_module_out: [
        Swap("Cargo.toml", "default = [\"alpha\", \"beta\"]", "extra = []\ndefault = [\"alpha\", \"extra\"]"),
    ] => [
        "every_module_is_a_feature | Cargo.toml:11: the default features leave out beta",
        "every_module_is_a_feature | Cargo.toml:11: the default feature extra is no module",
    ];

    the_migrations_leave_a_module_out: [
        Swap("migrations/src/lib.rs", "beta => Beta", "gamma => Gamma"),
    ] => [
        "every_module_has_a_migrator | migrations/src/lib.rs:5: beta has no migrator",
        "every_module_has_a_migrator | migrations/src/lib.rs:5: gamma is no module",
    ];

    the_migrations_have_no_list: [
        Write("migrations/src/lib.rs", "//! migrators! { alpha => Alpha, beta => Beta }\n"),
    ] => [
        "every_module_has_a_migrator | migrations/src/lib.rs:1: there is no list `migrators! { module => Migrator, ... }`",
    ];

    a_file_beside_the_wiring_imports_a_module: [
        Write("src/cli.rs", "use beta;\nuse {alpha as first};\nextern crate alpha as third;\n"),
    ] => [
        "only_the_wiring_names_modules | src/cli.rs:1: names the module beta; only src/wiring.rs may",
        "only_the_wiring_names_modules | src/cli.rs:2: names the module alpha; only src/wiring.rs may",
        "only_the_wiring_names_modules | src/cli.rs:3: names the module alpha; only src/wiring.rs may",
    ];

    a_file_beside_the_wiring_names_a_module_in_a_macro: [
        Write("src/demo/goods.rs", "fn load() {\n    println!(\"{}\", ::alpha::count());\n}\n"),
    ] => [
        "only_the_wiring_names_modules | src/demo/goods.rs:2: names the module alpha::count; only src/wiring.rs may",
    ];

    a_file_beside_the_wiring_asks_for_features: [
        Write(
            "src/cli.rs",
            "#[cfg_attr(all(test, feature = \"alpha\"), derive(Debug))]\nstruct A;\nconst B: bool = cfg!(not(feature = \"beta\"));\n",
        ),
    ] => [
        "only_the_wiring_names_modules | src/cli.rs:1: asks for a feature of the build; only src/wiring.rs may",
        "only_the_wiring_names_modules | src/cli.rs:3: asks for a feature of the build; only src/wiring.rs may",
    ];

    there_is_no_wiring: [
        Remove("src/wiring.rs"),
    ] => [
        "only_the_wiring_names_modules | src/wiring.rs:1: there is no wiring",
    ];

    a_domain_is_asynchronous: [
        Write("modules/alpha/src/domain/price.rs", "pub async fn price() {\n    let later = async move { 1 };\n}\n"),
    ] => [
        "layers_keep_to_themselves | modules/alpha/src/domain/price.rs:1: domain/ names async",
        "layers_keep_to_themselves | modules/alpha/src/domain/price.rs:2: domain/ names async",
    ];

    a_domain_goes_on_the_wire: [
        Write(
            "modules/beta/src/domain.rs",
            "#[derive(Debug, serde::Serialize)]\n#[serde(rename = \"x\")]\npub struct A;\n#[derive(Deserialize)]\npub struct B;\n",
        ),
    ] => [
        "layers_keep_to_themselves | modules/beta/src/domain.rs:1: domain/ names serde::Serialize",
        "layers_keep_to_themselves | modules/beta/src/domain.rs:2: domain/ names serde",
        "layers_keep_to_themselves | modules/beta/src/domain.rs:4: domain/ names Deserialize",
    ];

    a_domain_knows_the_world: [
        Write(
            "modules/alpha/src/domain/world.rs",
            "use sea_orm::Value;\nuse {actix_web as web};\nfn x() {\n    vec![tokio::spawn(y)];\n}\nconst SQL: &str = \"SELECT a FROM b\";\n",
        ),
    ] => [
        "layers_keep_to_themselves | modules/alpha/src/domain/world.rs:1: domain/ names sea_orm::Value",
        "layers_keep_to_themselves | modules/alpha/src/domain/world.rs:2: domain/ names actix_web",
        "layers_keep_to_themselves | modules/alpha/src/domain/world.rs:4: domain/ names tokio::spawn",
        "layers_keep_to_themselves | modules/alpha/src/domain/world.rs:6: domain/ holds SQL",
    ];

    a_domain_looks_at_the_clock: [
        Write(
            "modules/alpha/src/domain/clock.rs",
            "use time::OffsetDateTime as Day;\nfn x(clock: &dyn Clock) {\n    std::time::SystemTime::now();\n    Day::now_utc();\n    clock.now();\n}\n",
        ),
    ] => [
        "layers_keep_to_themselves | modules/alpha/src/domain/clock.rs:3: domain/ names std::time::SystemTime::now",
        "layers_keep_to_themselves | modules/alpha/src/domain/clock.rs:4: domain/ calls now_utc()",
        "layers_keep_to_themselves | modules/alpha/src/domain/clock.rs:5: domain/ calls now()",
    ];

    a_handler_asks_the_database: [
        Append("modules/beta/src/http/mod.rs", "use sea_orm as db;\nconst A: &str = r#\"\n    delete from \"a\" where true\"#;\n"),
    ] => [
        "layers_keep_to_themselves | modules/beta/src/http/mod.rs:2: http/ names sea_orm",
        "layers_keep_to_themselves | modules/beta/src/http/mod.rs:3: http/ holds SQL",
    ];

    a_use_case_answers_over_http: [
        Append("modules/beta/src/app/mod.rs", "fn x() -> actix_web::HttpResponse { y() }\nconst A: &str = \"INSERT INTO a VALUES (1)\";\n"),
    ] => [
        "layers_keep_to_themselves | modules/beta/src/app/mod.rs:2: app/ names actix_web::HttpResponse",
        "layers_keep_to_themselves | modules/beta/src/app/mod.rs:3: app/ holds SQL",
    ];

    a_query_commits: [
        Write(
            "modules/beta/src/store/orders.rs",
            "async fn x(db: &Db) {\n    let tx = db.begin().await;\n    tx.commit().await;\n    Tx::rollback(tx).await;\n}\nuse actix_web::web;\n",
        ),
    ] => [
        "layers_keep_to_themselves | modules/beta/src/store/orders.rs:2: store/ calls begin()",
        "layers_keep_to_themselves | modules/beta/src/store/orders.rs:3: store/ calls commit()",
        "layers_keep_to_themselves | modules/beta/src/store/orders.rs:4: store/ calls rollback()",
        "layers_keep_to_themselves | modules/beta/src/store/orders.rs:6: store/ names actix_web::web",
    ];

    a_module_calls_another_that_it_may_not_and_makes_a_circle: [
        Append("modules/alpha/src/app/mod.rs", "fn x(beta: &dyn contracts::beta::BetaPort) {}\n"),
    ] => [
        "port_calls_are_those_agreed_on | modules/alpha/src/app/mod.rs:8: alpha calls beta, which tests/architecture/port-calls.txt does not list",
        "port_calls_are_acyclic | modules/alpha/src/app/mod.rs:8: port calls in a circle: alpha -> beta -> alpha",
    ];

    a_circle_was_agreed_on: [
        Append("modules/alpha/src/lib.rs", "use contracts::beta;\nfn x(port: &dyn beta::BetaPort) {}\n"),
        Write("tests/architecture/port-calls.txt", "alpha -> beta\nbeta -> alpha\n"),
    ] => [
        "port_calls_are_acyclic | modules/alpha/src/lib.rs:5: port calls in a circle: alpha -> beta -> alpha",
    ];

    a_call_that_was_agreed_on_is_gone: [
        Write("modules/beta/src/lib.rs", "//! Beta. Formerly over contracts::alpha::AlphaPort.\n"),
    ] => [
        "port_calls_are_those_agreed_on | tests/architecture/port-calls.txt:1: beta is to call alpha, but names none of its ports",
    ];

    the_list_of_calls_is_no_list: [
        Append("tests/architecture/port-calls.txt", "alpha calls beta\n"),
    ] => [
        "port_calls_are_those_agreed_on | tests/architecture/port-calls.txt:2: a line is `caller -> owner`",
    ];

    a_module_does_not_say_what_it_is_for: [
        Write("modules/beta/src/lib.rs", "use contracts::alpha::AlphaPort;\n"),
    ] => [
        "modules_have_the_same_rooms | modules/beta/src/lib.rs:1: does not begin with `//!`: what the module is for",
    ];

    a_module_lacks_rooms: [
        Remove("modules/beta/src/error.rs"),
        Remove("modules/beta/src/store"),
    ] => [
        "modules_have_the_same_rooms | modules/beta/src/error.rs:1: beta has no table of errors",
        "modules_have_the_same_rooms | modules/beta/src/store:1: beta has no store/",
    ];

    a_file_holds_two_actions: [
        Append("modules/alpha/src/http/get_alpha.rs", "\n#[actix_web::post(\"/alpha\")]\npub(crate) async fn post_alpha() {}\n"),
    ] => [
        "one_action_a_file | modules/alpha/src/http/get_alpha.rs:15: another action in this file; one action a file",
    ];

    a_transfer_holds_three_actions: [
        Append("modules/alpha/src/http/transfer.rs", "\n#[get(\"/alpha/preview\")]\npub(crate) async fn preview() {}\n"),
    ] => [
        "one_action_a_file | modules/alpha/src/http/transfer.rs:10: another action in this file; one action a file",
    ];

    a_source_cannot_be_read: [
        Write("src/broken.rs", "fn main() {\n"),
    ] => [
        "sources_can_be_read | src/broken.rs:1: is not Rust: cannot parse string into token stream",
    ];

    a_lint_is_allowed: [
        Append("src/main.rs", "#[allow(dead_code)]\nfn x() {}\n#[cfg_attr(test, allow(unused))]\nfn y() {}\n"),
    ] => [
        "nothing_is_silenced_or_left_undone | src/main.rs:11: allows a lint; write #[expect(lint, reason = \"...\")]",
        "nothing_is_silenced_or_left_undone | src/main.rs:13: allows a lint; write #[expect(lint, reason = \"...\")]",
    ];

    a_test_is_ignored: [
        Append("modules/beta/tests/beta.rs", "#[test]\n#[ignore = \"slow\"]\nfn a() {}\n#[cfg_attr(unix, ignore)]\n#[schema(ignore)]\nfn b() {}\n"),
    ] => [
        "nothing_is_silenced_or_left_undone | modules/beta/tests/beta.rs:6: ignores a test; make it pass or delete it",
        "nothing_is_silenced_or_left_undone | modules/beta/tests/beta.rs:8: ignores a test; make it pass or delete it",
    ];

    something_is_left_to_do: [
        Append("src/main.rs", "fn x() {\n    if a { todo!() }\n    vec![std::unimplemented!(\"later\")];\n    todo != b;\n}\n"),
    ] => [
        "nothing_is_silenced_or_left_undone | src/main.rs:12: is left to do",
        "nothing_is_silenced_or_left_undone | src/main.rs:13: is left to do",
    ];

    a_thread_sleeps: [
        Append("modules/beta/tests/beta.rs", "use std::thread as t;\nfn x() {\n    t::sleep(y);\n    tokio::time::sleep(y);\n}\n"),
    ] => [
        "nothing_is_silenced_or_left_undone | modules/beta/tests/beta.rs:7: sleeps; wait for a condition with a bound",
    ];

    a_page_names_a_path_of_one_machine: [
        Write("docs/start.md", concat!("Begin.\n\nSee /", "work/notes.\n")),
        Append("src/main.rs", concat!("const A: &str = \"..", "/shared\";\n")),
        Write("tests/data/notes.md", concat!("/", "root/x\n")),
        Write("target/notes.md", concat!("/", "root/x\n")),
        Write("data/notes.md", concat!("/", "root/x\n")),
    ] => [
        "no_paths_of_one_machine | docs/start.md:3: holds a path that leads out of the repository",
        "no_paths_of_one_machine | src/main.rs:11: holds a path that leads out of the repository",
        "no_paths_of_one_machine | tests/data/notes.md:1: holds a path that leads out of the repository",
    ];
}
