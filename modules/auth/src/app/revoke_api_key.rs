//! A key is refused from now on, in every module.

use std::time::Duration;

use contracts::audit::By;
use contracts::auth::ApiKeyRevoked;
use contracts::users::Actor;
use kernel::{ApiKeyId, UserId};
use platform::db::Committed;
use sea_orm::DbErr;
use serde_json::json;

use crate::Context;
use crate::app::audit::{Entry, note};
use crate::domain::audit::Action;
use crate::error::AuthError;
use crate::store::api_keys;

/// How long a key that has ended is kept: whoever looks into a leak wants to know of it.
const KEPT_FOR: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const BATCH: u64 = 1_000;

/// Its owner may do that, and an admin.
pub(crate) async fn revoke_api_key(
    context: &Context,
    by: Actor,
    id: ApiKeyId,
) -> Result<Committed, AuthError> {
    let mut tx = context.db.begin().await?;
    let owner = (!by.is_admin()).then_some(by.user_id);
    let now = tx.system().now();
    let Some(row) = api_keys::revoke(tx.conn(), id, owner, now).await? else {
        tx.rollback().await?;
        return Err(AuthError::NoApiKey);
    };
    let entry = Entry {
        by: By::User { user_id: by.user_id },
        action: Action::ApiKeyRevoked,
        target: id.to_string(),
        details: json!({ "owner": row.user_id, "name": row.name }),
    };
    note(&tx, entry).await?;
    tx.emit(&ApiKeyRevoked { api_key_id: id, user_id: UserId(row.user_id) }).await?;
    let committed = tx.commit().await?;
    // The event says so to every process; here it need not be waited for.
    context.verifier.revoke_api_key(id).await;
    tracing::info!(user.id = %row.user_id, api_key.id = %id, by = %by.user_id, "revoked an API key");
    Ok(committed)
}

/// Deletes keys that ended long ago, a batch at a time.
pub(crate) async fn purge(context: &Context) -> Result<(), DbErr> {
    let ended_before = context.db.system().now().minus(KEPT_FOR);
    let purged = api_keys::purge(context.db.writer(), ended_before, BATCH).await?;
    if purged > 0 {
        tracing::info!(rows = purged, "purged API keys that ended long ago");
    }
    Ok(())
}
