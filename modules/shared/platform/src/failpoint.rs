//! Places where a test may end this process, or hold it up, to see that nothing is lost.
//!
//! Only the feature `failpoints` brings them to life; tests have it through `testkit`. Without it every function here is
//! empty, and a release has nothing of them in it, not even their names.
//!
//! The environment variable `SOUK_FAILPOINTS_DIR` names a folder that belongs to one process:
//!
//! | file | written by | holds |
//! |---|---|---|
//! | `seen` | the process | a line for every hit, in order: `commit.after[orders/app/place_order.rs:168]` |
//! | `armed` | the test | a line of `seen`; on a second line what is to happen there: `abort` (the default) or `delay 3000` (milliseconds) |
//! | `hit` | the process | what was `armed`: whoever reaches the point first renames the file, so it happens once |
//!
//! A point is armed while the process runs, by moving a finished file to `armed`; removing it disarms.
//!
//! Rejected: the crate `fail`. It is set by an environment variable or by code in the process, so a test could arm a process only when
//! it starts it, and its points are names that nobody can list.

use std::future::Future;

/// The table of all points, with what is about to happen or has just happened there.
macro_rules! points {
    ($($point:ident $name:literal $when:literal,)*) => {
        /// A kind of place.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point {
            $(#[doc = $when] $point,)*
        }

        impl Point {
            /// The table of all points.
            pub const ALL: &'static [Self] = &[$(Self::$point,)*];

            /// As in the files of the folder.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }

            /// What is about to happen, or has just happened.
            pub fn when(self) -> &'static str {
                match self {
                    $(Self::$point => $when,)*
                }
            }
        }
    };
}

points! {
    CommitBefore "commit.before" "a transaction has done its statements and is about to commit",
    CommitAfter "commit.after" "a transaction has committed, and nobody knows",
    WriteBefore "write.before" "a single statement outside a transaction is about to write",
    CallBefore "call.before" "a module is about to call another one's port, or the port was just reached",
    CallAfter "call.after" "a port has answered, and its caller has not heard it",
    ServeAfter "serve.after" "a port that was called from another process has answered, and nothing was sent",
    PublishBefore "publish.before" "the relay is about to give an event to the bus",
    PublishAfter "publish.after" "the bus has taken an event, and its row does not say so",
    PublishNoted "publish.noted" "the outbox says that events were published",
    HandleBefore "handle.before" "a handler is about to be given an event",
    HandleAfter "handle.after" "a handler has committed, and neither the bus nor the broker knows",
    AckBefore "ack.before" "a message was handled and is about to be acknowledged",
    AckAfter "ack.after" "a message was acknowledged",
    BuryBefore "bury.before" "a message that cannot be handled is about to become a dead letter",
    BuryAfter "bury.after" "there is a dead letter, and the message is still in its queue",
    ProviderBefore "provider.before" "the payment provider is about to be asked",
    ProviderAfter "provider.after" "the payment provider has acted, and nothing here says so",
    RespondBefore "respond.before" "the answer to a request that writes is ready, and was not sent",
}

// What follows `name[` and `]` in a key makes a point specific: `orders/app/place_order.rs:168` for a commit or a write (the module
// whose database it is, the file and line that asked for it), `orders.place` for a call, `order.created` for a publication,
// `order.created>cart.on_order_created` for a handler, `orders` for a queue, `refund` for the provider, `POST /orders` for an answer.

/// The end of the process, or of a wait, if a test has armed this point. The qualifier is made before this returns.
#[cfg(not(feature = "failpoints"))]
pub fn hit<Q: FnOnce() -> String>(_: Point, _: Q) -> std::future::Ready<()> {
    std::future::ready(())
}

/// As [`hit`] where nothing can be awaited: only the end of the process.
#[cfg(not(feature = "failpoints"))]
pub fn hit_now(_: Point, _: impl FnOnce() -> String) {}

/// Work between two points.
#[cfg(not(feature = "failpoints"))]
fn around<T, W: Future<Output = T>>(_: Point, _: Point, _: impl Fn() -> String, work: W) -> W {
    work
}

#[cfg(feature = "failpoints")]
pub use live::{hit, hit_now};

#[cfg(feature = "failpoints")]
use live::around;

/// A call of a port, such as `orders.place`.
pub fn call<T, W: Future<Output = T>>(
    module: &'static str,
    operation: &'static str,
    work: W,
) -> impl Future<Output = T> + use<T, W> {
    around(Point::CallBefore, Point::CallAfter, move || format!("{module}.{operation}"), work)
}

/// A call of the payment provider, such as `refund`.
pub fn provider<T, W: Future<Output = T>>(
    operation: &'static str,
    work: W,
) -> impl Future<Output = T> + use<T, W> {
    around(Point::ProviderBefore, Point::ProviderAfter, move || operation.to_owned(), work)
}

/// `orders/app/place_order.rs:168`: the module whose database is meant, and a place in the source.
#[cfg(feature = "failpoints")]
pub(crate) fn place(module: &str, at: &std::panic::Location<'_>) -> String {
    let file = at.file();
    let within = file.rsplit_once("src/").map_or(file, |(_, within)| within);
    format!("{module}/{within}:{}", at.line())
}

#[cfg(feature = "failpoints")]
mod live {
    use std::fs::{File, rename};
    use std::future::Future;
    use std::io::Write;
    use std::path::{Path, PathBuf};
    use std::sync::OnceLock;
    use std::time::Duration;

    use super::Point;

    /// Names the folder of this process; none if it is not under such a test.
    const FOLDER: &str = "SOUK_FAILPOINTS_DIR";

    /// What a test wants at a point.
    #[derive(Debug, PartialEq, Eq)]
    pub(super) enum Wish {
        Abort,
        Delay(Duration),
    }

    fn folder() -> Option<&'static Path> {
        static READ: OnceLock<Option<PathBuf>> = OnceLock::new();
        READ.get_or_init(|| std::env::var_os(FOLDER).map(PathBuf::from)).as_deref()
    }

    /// Notes the hit and takes the wish that waits for it, if there is one.
    pub(super) fn meet(folder: &Path, key: &str, can_wait: bool) -> Option<Wish> {
        let seen = File::options().create(true).append(true).open(folder.join("seen"));
        if let Err(error) = seen.and_then(|mut seen| seen.write_all(format!("{key}\n").as_bytes())) {
            tracing::error!(%error, key, "a hit of a failpoint cannot be noted");
        }
        let armed = folder.join("armed");
        let said = std::fs::read_to_string(&armed).ok()?;
        let mut lines = said.lines().map(str::trim);
        if lines.next() != Some(key) {
            return None;
        }
        let delay = lines.next().and_then(|action| action.strip_prefix("delay ")?.parse().ok());
        let wish = delay.map_or(Wish::Abort, |delay_ms| Wish::Delay(Duration::from_millis(delay_ms)));
        if wish != Wish::Abort && !can_wait {
            return None;
        }
        // Of two that get here at once only one finds the file.
        rename(armed, folder.join("hit")).ok().map(|()| wish)
    }

    /// The end of the process, or of a wait, if a test has armed this point. The qualifier is made before this returns.
    pub fn hit<Q: FnOnce() -> String>(
        point: Point,
        qualifier: Q,
    ) -> impl Future<Output = ()> + Send + use<Q> {
        let delay = wish(point, qualifier, true);
        async move {
            if let Some(delay) = delay {
                tokio::time::sleep(delay).await;
            }
        }
    }

    /// As [`hit`] where nothing can be awaited: only the end of the process.
    pub fn hit_now(point: Point, qualifier: impl FnOnce() -> String) {
        wish(point, qualifier, false);
    }

    fn wish(point: Point, qualifier: impl FnOnce() -> String, can_wait: bool) -> Option<Duration> {
        let key = format!("{}[{}]", point.name(), qualifier());
        match meet(folder()?, &key, can_wait)? {
            Wish::Delay(delay) => Some(delay),
            Wish::Abort => {
                tracing::error!(key, "a failpoint ends this process");
                std::process::abort()
            }
        }
    }

    /// Work between two points.
    pub(super) async fn around<T, W: Future<Output = T>>(
        before: Point,
        after: Point,
        qualifier: impl Fn() -> String,
        work: W,
    ) -> T {
        // On the heap: the futures of a build for tests are large, and threads have small stacks.
        let work = Box::pin(work);
        hit(before, &qualifier).await;
        let done = work.await;
        hit(after, qualifier).await;
        done
    }
}

#[cfg(test)]
#[cfg(feature = "failpoints")]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::time::Duration;

    use super::live::{Wish, meet};
    use super::*;

    const KEY: &str = "commit.after[orders/app/place_order.rs:168]";

    fn arm(folder: &Path, said: &str) {
        std::fs::write(folder.join("armed"), said).unwrap();
    }

    fn read(folder: &Path, file: &str) -> String {
        std::fs::read_to_string(folder.join(file)).unwrap_or_default()
    }

    #[test]
    fn a_wish_is_granted_once_and_only_at_its_point() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert_eq!(meet(folder, KEY, true), None);
        arm(folder, KEY);
        assert_eq!(meet(folder, "commit.after[orders/app/undo.rs:40]", true), None);
        assert_eq!(meet(folder, KEY, true), Some(Wish::Abort));
        assert_eq!(meet(folder, KEY, true), None);
        assert_eq!(read(folder, "hit"), KEY);
        let seen: Vec<String> = read(folder, "seen").lines().map(str::to_owned).collect();
        assert_eq!(seen, [KEY, "commit.after[orders/app/undo.rs:40]", KEY, KEY]);
    }

    #[test]
    fn a_delay_waits_for_a_place_that_can_wait() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        arm(folder, &format!("{KEY}\ndelay 250\n"));
        assert_eq!(meet(folder, KEY, false), None);
        assert_eq!(meet(folder, KEY, true), Some(Wish::Delay(Duration::from_millis(250))));
        assert_eq!(meet(folder, KEY, true), None);
    }

    #[test]
    fn one_of_many_gets_what_is_armed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        arm(folder, KEY);
        let granted = std::thread::scope(|scope| {
            let met: Vec<_> = (0..16).map(|_| scope.spawn(|| meet(folder, KEY, true))).collect();
            met.into_iter().filter_map(|thread| thread.join().unwrap()).count()
        });
        assert_eq!(granted, 1);
        assert_eq!(read(folder, "seen").lines().count(), 16);
    }

    #[test]
    fn points_have_names_of_their_own() {
        let names: BTreeSet<&str> = Point::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), Point::ALL.len());
        assert!(Point::ALL.iter().all(|point| !point.when().is_empty()));
    }

    #[test]
    fn a_place_is_the_module_whose_database_it_is_and_the_line() {
        let here = std::panic::Location::caller();
        assert_eq!(place("orders", here), format!("orders/failpoint.rs:{}", here.line()));
    }
}
