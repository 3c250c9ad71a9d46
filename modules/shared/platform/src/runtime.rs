//! Which runtime connections belong to.
//!
//! Every thread that serves HTTP has a runtime of its own, and a connection belongs to the runtime in which it was opened.
//! Pools are shared by all threads, so a connection that one of them opened breaks for all others when that thread ends, which at
//! a gentle stop they do one by one. Work that opens connections is therefore polled inside of the runtime of the process.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

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
