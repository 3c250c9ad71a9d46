//! A product has changed, in whichever process: what this one remembers may be from before.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::catalog::ProductChanged;
use contracts::event::{Envelope, Event};
use platform::bus::{EventHandler, HandleError, Reach};

use crate::Context;

/// Needs no inbox: to forget twice is to forget.
pub(crate) struct OnProductChanged {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for OnProductChanged {
    fn name(&self) -> &'static str {
        "catalog.on_product_changed"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[ProductChanged::TYPE]
    }

    fn reach(&self) -> Reach {
        Reach::Process
    }

    /// Never fails: what the shared store cannot be told now is told before it is trusted again.
    async fn handle(&self, _: &Envelope) -> Result<(), HandleError> {
        self.context.cache.forget().await;
        Ok(())
    }
}
