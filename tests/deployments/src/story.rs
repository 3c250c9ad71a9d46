//! Stories as tests: how one that goes wrong says where, and how tests of topologies become trials.

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;

use libtest_mimic::{Completion, Failed, Trial};

use crate::topology::Topology;

thread_local! {
    /// The last panic of this thread while it tells a story, with its place.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static TELLS: RefCell<bool> = const { RefCell::new(false) };
}

/// From now on the panic of a story is kept for the test's own report.
pub fn keep_panics() {
    let loudly = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if TELLS.with_borrow(|tells| *tells) {
            PANIC.set(Some(panic.to_string()));
        } else {
            loudly(panic);
        }
    }));
}

/// Runs a story; a panic becomes a failure that says where.
pub fn caught<T>(story: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    TELLS.set(true);
    let result = std::panic::catch_unwind(AssertUnwindSafe(story));
    TELLS.set(false);
    result.unwrap_or_else(|_| Err(PANIC.take().unwrap_or_else(|| "a panic without words".to_owned())))
}

/// A test of one topology, `name::topology`. Where its servers are missing it is not run; in CI that is a failure.
pub fn trial(
    name: &str,
    topology: Topology,
    story: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> Trial {
    Trial::ignorable_test(format!("{name}::{}", topology.name()), move || match topology.missing() {
        Some(missing) if std::env::var_os("CI").is_none() => {
            Ok(Completion::ignored_with(format!("not run: {missing}")))
        }
        Some(missing) => Err(Failed::from(format!("CI must run every topology: {missing}"))),
        None => caught(story).map(|()| Completion::Completed).map_err(Failed::from),
    })
}
