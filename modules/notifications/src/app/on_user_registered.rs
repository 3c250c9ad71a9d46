//! Someone joined: they are welcomed.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::event::{Envelope, Event};
use contracts::users::UserRegistered;
use platform::bus::{EventHandler, HandleError};

use crate::Context;
use crate::app::record::{recipient, record};
use crate::domain::letter::welcome;

pub(crate) struct OnUserRegistered {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for OnUserRegistered {
    fn name(&self) -> &'static str {
        "notifications.on_user_registered"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[UserRegistered::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let Some(event) = envelope.open::<UserRegistered>().transpose()? else {
            return Ok(());
        };
        // An imported account may be switched off; nobody is welcomed to that.
        let profile = recipient(&self.context, Some(event.user_id)).await?.filter(|profile| profile.active);
        let letter = profile.map(|profile| {
            let letter = welcome(profile.name.as_deref());
            (profile, letter)
        });
        record(&self.context, envelope, self.name(), letter, None).await
    }
}
