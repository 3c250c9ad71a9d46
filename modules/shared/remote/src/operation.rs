//! What both sides of an operation know of it.

use std::marker::PhantomData;
use std::time::Duration;

/// An operation of a port: `Q` goes in, `T` comes out, or the refusal `R`.
pub(crate) struct Operation<Q, T, R> {
    pub(crate) facts: Facts,
    types: PhantomData<fn(Q) -> Result<T, R>>,
}

/// The part of an operation that has no types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Whose port it is; also the audience of the service token.
    pub(crate) module: &'static str,
    /// The last part of the path.
    pub(crate) name: &'static str,
    pub(crate) repeat: Repeat,
    /// The most time a call may take, if that is less than the caller's.
    pub(crate) within: Option<Duration>,
}

/// Whether a call whose answer was lost may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// A second time has the effect of one.
    Idempotent,
    /// A second time would have a second effect. No port has such a call today, and this is what keeps the first one
    /// that comes from being sent twice.
    #[cfg_attr(not(test), expect(dead_code, reason = "every call of today may be repeated"))]
    Never,
}

impl<Q, T, R> Operation<Q, T, R> {
    /// An operation that may be repeated: the contract of its port says why.
    pub(crate) const fn idempotent(module: &'static str, name: &'static str) -> Self {
        Self { facts: Facts { module, name, repeat: Repeat::Idempotent, within: None }, types: PhantomData }
    }

    /// An operation that must not be sent a second time.
    #[cfg(test)]
    pub(crate) const fn once(module: &'static str, name: &'static str) -> Self {
        Self { facts: Facts { module, name, repeat: Repeat::Never, within: None }, types: PhantomData }
    }

    /// With a deadline of its own.
    pub(crate) const fn within(mut self, most: Duration) -> Self {
        self.facts.within = Some(most);
        self
    }
}
