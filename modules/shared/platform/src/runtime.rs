//! Which runtime connections belong to.
//!
//! Every thread that serves HTTP has a runtime of its own, and a connection belongs to the runtime in which it was opened.
//! Pools are shared by all threads, so a connection that one of them opened breaks for all others when that thread ends, which at
//! a gentle stop they do one by one. Work that opens connections is therefore polled inside of a runtime that lasts as long as the process.

use std::future::Future;
use std::num::NonZero;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use tokio::runtime::{Builder, Handle, Runtime};

/// One thread reads for so many cores.
const CORES_A_READER: usize = 2;

/// The runtime of what many read together ([`crate::system::System::for_reads`]), if the system has threads to give. Where more threads wait for
/// such work, which is small, it is handed from one to the other (ADR 22). It is the process's, and ends with it.
pub(crate) fn of_reads() -> Option<&'static Handle> {
    static READERS: LazyLock<Option<Runtime>> = LazyLock::new(|| {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let threads = cores.div_ceil(CORES_A_READER);
        Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("souk-reads")
            .enable_all()
            .build()
            .ok()
    });
    READERS.as_ref().map(Runtime::handle)
}

/// Polls work inside of a runtime, whichever thread it is polled on.
pub fn inside<F: Future>(runtime: Handle, work: F) -> Inside<F> {
    Inside { runtime, work: Box::pin(work) }
}

/// See [`inside`].
pub struct Inside<F> {
    runtime: Handle,
    work: Pin<Box<F>>,
}

impl<F: Future> Future for Inside<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { runtime, work } = &mut *self;
        let _entered = runtime.enter();
        work.as_mut().poll(context)
    }
}
