//! This repository keeps to its own rules.

use std::path::Path;
use std::sync::LazyLock;

use architecture::{CHECKS, Workspace};

static SOUK: LazyLock<Workspace> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Workspace::read(&root).unwrap_or_else(|error| panic!("{error}"))
});

macro_rules! rules {
    ($($name:ident),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                let check = CHECKS.iter().find(|check| check.name == stringify!($name)).unwrap();
                let violations: Vec<String> = (check.run)(&SOUK).iter().map(ToString::to_string).collect();
                assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
            }
        )+

        #[test]
        fn no_check_is_left_out() {
            let run = [$(stringify!($name)),+];
            let all: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
            assert_eq!(run.as_slice(), all);
        }
    };
}

rules! {
    modules_do_not_depend_on_one_another,
    only_the_root_depends_on_modules,
    kernel_and_contracts_are_pure,
    every_module_is_a_feature,
    every_module_has_a_migrator,
    only_the_wiring_names_modules,
    layers_keep_to_themselves,
    port_calls_are_those_agreed_on,
    port_calls_are_acyclic,
    modules_have_the_same_rooms,
    one_action_a_file,
    sources_can_be_read,
    nothing_is_silenced_or_left_undone,
    no_paths_of_one_machine,
}
