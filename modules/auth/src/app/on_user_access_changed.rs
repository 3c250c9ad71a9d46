//! A user's role changed, or the account was switched on or off: every session that says otherwise ends.
//!
//! The user logs in anew, also after a promotion. Carrying the session over would be kinder, but then a stolen refresh
//! token of a customer would grow into one of an admin.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::event::{Envelope, Event};
use contracts::users::UserAccessChanged;
use platform::bus::{EventHandler, HandleError};
use platform::inbox;

use crate::Context;
use crate::app::announce_ended::announce_ended;
use crate::store::sessions;

pub(crate) struct OnUserAccessChanged {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for OnUserAccessChanged {
    fn name(&self) -> &'static str {
        "auth.on_user_access_changed"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[UserAccessChanged::TYPE]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let Some(change) = envelope.open::<UserAccessChanged>().transpose()? else {
            return Ok(());
        };
        let context = &self.context;
        let mut tx = context.db.begin().await?;
        if !inbox::first_delivery(&tx, envelope, self.name()).await? {
            return Ok(());
        }
        let now = tx.system().now();
        let still_allowed = change.active.then_some(change.role);
        let rows =
            sessions::end_outdated(tx.conn(), change.user_id, change.changed_at, still_allowed, now).await?;
        // Sessions opened after the change began but before it was visible say that they are newer; they end one by one.
        let revoked = announce_ended(context, &mut tx, change.user_id, change.changed_at, &rows).await?;
        tx.commit().await?;
        context.verifier.revoke(revoked);
        tracing::info!(user.id = %change.user_id, sessions = rows.len(), "ended the sessions of a user whose access changed");
        Ok(())
    }
}
