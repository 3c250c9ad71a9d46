//! The real clock, the real id generator, and work that outlives its caller: the only places that touch them.

use std::future::Future;
use std::sync::Arc;

use kernel::{Clock, IdGenerator, Timestamp};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// The time of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the injected clock itself")]
    fn now(&self) -> Timestamp {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_ms(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

/// UUIDv7 of the machine's time with random bits of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

impl IdGenerator for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "this is the injected generator itself")]
    fn next(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// Time, ids and detached work, handed to every module.
#[derive(Clone)]
pub struct System {
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdGenerator>,
    unfinished: TaskTracker,
    /// Where detached work runs: not on the thread of the request that began it, which may end first.
    runtime: tokio::runtime::Handle,
    /// Whose the connections are, and where what many ask for is read.
    home: tokio::runtime::Handle,
}

impl System {
    /// The real machine. Call it on the runtime that is to run detached work.
    pub fn real() -> Self {
        Self::new(Arc::new(SystemClock), Arc::new(SystemIds))
    }

    /// With a clock and ids of the caller's choice. Call it on the runtime that is to run detached work.
    pub fn new(clock: Arc<dyn Clock>, ids: Arc<dyn IdGenerator>) -> Self {
        let runtime = tokio::runtime::Handle::current();
        Self { clock, ids, unfinished: TaskTracker::new(), home: runtime.clone(), runtime }
    }

    /// The same for a module that mostly reads: its connections, and what many ask it for together, belong to a runtime of few threads (ADR 22).
    pub fn for_reads(&self) -> Self {
        let home = crate::runtime::of_reads().unwrap_or(&self.home).clone();
        Self { home, ..self.clone() }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A fresh id.
    pub fn id(&self) -> Uuid {
        self.ids.next()
    }

    /// Runs work to its end even if the caller goes away: actix drops a handler when its client disconnects, and a
    /// placement or payment must not stop halfway for that. Shutdown waits for it ([`System::drain`]).
    ///
    /// `Err` means that the work panicked.
    pub async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        // Boxed at once: the work of a payment is large, and every wrapper around it would be as large again, on the small
        // stack of a thread that serves HTTP.
        let work = crate::trace::inherit(crate::deadline::inherit(Box::pin(work)));
        self.unfinished.spawn_on(work, &self.runtime).await
    }

    /// Leaves work to the runtime of the process; nobody waits for what comes of it. Shutdown waits for its end ([`System::drain`]).
    pub(crate) fn detach(&self, work: impl Future<Output = ()> + Send + 'static) {
        let _nobody_waits = self.unfinished.spawn_on(work, &self.runtime);
    }

    /// Runs something, where connections are at home, that ends by itself when nobody needs it any more; shutdown does not wait for it.
    pub(crate) fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        let _nobody_waits = self.home.spawn(work);
    }

    /// Polls work inside of the runtime where connections are at home, so that what it opens outlives the thread it runs on.
    pub fn inside<F: Future>(&self, work: F) -> crate::runtime::Inside<F> {
        crate::runtime::inside(self.home.clone(), work)
    }

    /// Makes the runtime of the process the current one of this thread, until the guard is dropped.
    pub fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Waits until everything given to [`System::to_the_end`], and whatever was detached, has ended.
    pub async fn drain(&self) {
        self.unfinished.close();
        self.unfinished.wait().await;
    }
}
