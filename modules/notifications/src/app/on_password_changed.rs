//! An account has another password: its owner is told, in case it was not them.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::auth::PasswordChanged;
use contracts::event::{Envelope, Event};
use platform::bus::{EventHandler, HandleError};

use crate::Context;
use crate::app::record::{recipient, record};
use crate::domain::letter::password_changed;

pub(crate) struct OnPasswordChanged {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for OnPasswordChanged {
    fn name(&self) -> &'static str {
        "notifications.on_password_changed"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[PasswordChanged::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let Some(event) = envelope.open::<PasswordChanged>().transpose()? else {
            return Ok(());
        };
        let profile = recipient(&self.context, Some(event.user_id)).await?.filter(|profile| profile.active);
        let letter = profile.map(|profile| {
            let letter = password_changed(profile.name.as_deref());
            (profile, letter)
        });
        // No endpoint is told: this is between the shop and the owner of the account.
        record(&self.context, envelope, self.name(), letter, None).await
    }
}
