//! Someone joined: they are asked to show that their address is theirs.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::event::{Envelope, Event};
use contracts::users::UserRegistered;
use platform::bus::{EventHandler, HandleError};
use platform::inbox;

use crate::Context;
use crate::app::mail_token::mail_token;
use crate::store::credentials;
use crate::store::mailed_tokens::Purpose;

pub(crate) struct OnUserRegistered {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for OnUserRegistered {
    fn name(&self) -> &'static str {
        "auth.on_user_registered"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[UserRegistered::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let Some(event) = envelope.open::<UserRegistered>().transpose()? else {
            return Ok(());
        };
        let mut tx = self.context.db.begin().await?;
        if !inbox::first_delivery(&tx, envelope, self.name()).await? {
            return Ok(());
        }
        // Imported users did not come by themselves; a reset of their password verifies them.
        if credentials::of(tx.conn(), event.user_id).await?.is_some() {
            let mailed = mail_token(&self.context, &mut tx, event.user_id, Purpose::EmailVerification).await;
            mailed.map_err(HandleError::other)?;
        }
        tx.commit().await?;
        Ok(())
    }
}
