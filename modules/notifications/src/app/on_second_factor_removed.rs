//! An account has no second factor any more: its owner is told, in case it was not them.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::auth::SecondFactorRemoved;
use contracts::event::{Envelope, Event};
use platform::bus::{EventHandler, HandleError};

use crate::Context;
use crate::app::record::{recipient, record};
use crate::domain::letter::second_factor_removed;

pub(crate) struct OnSecondFactorRemoved {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for OnSecondFactorRemoved {
    fn name(&self) -> &'static str {
        "notifications.on_second_factor_removed"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[SecondFactorRemoved::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let Some(event) = envelope.open::<SecondFactorRemoved>().transpose()? else {
            return Ok(());
        };
        let profile = recipient(&self.context, Some(event.user_id)).await?.filter(|profile| profile.active);
        let letter = profile.map(|profile| {
            let letter = second_factor_removed(profile.name.as_deref());
            (profile, letter)
        });
        // No endpoint is told: this is between the shop and the owner of the account.
        record(&self.context, envelope, self.name(), letter, None).await
    }
}
