//! A password was forgotten: the owner of the account gets the token for another one.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::auth::PasswordResetRequested;
use contracts::event::{Envelope, Event};
use platform::bus::{EventHandler, HandleError};

use crate::Context;
use crate::app::record::{recipient, record};
use crate::domain::letter::{Proof, reset_password};

pub(crate) struct OnPasswordResetRequested {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for OnPasswordResetRequested {
    fn name(&self) -> &'static str {
        "notifications.on_password_reset_requested"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[PasswordResetRequested::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let Some(event) = envelope.open::<PasswordResetRequested>().transpose()? else {
            return Ok(());
        };
        let profile = recipient(&self.context, Some(event.user_id)).await?.filter(|profile| profile.active);
        let letter = profile.map(|profile| {
            let link = event.link.as_ref().map(|link| link.0.as_str());
            let letter = reset_password(profile.name.as_deref(), &Proof { token: &event.token.0, link });
            (profile, letter)
        });
        // No endpoint is told: this is between the shop and the owner of the account.
        record(&self.context, envelope, self.name(), letter, None).await
    }
}
