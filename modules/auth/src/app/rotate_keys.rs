//! Another key signs from now on.
//!
//! The one before it verifies until the last token that it signed has expired, or is out at once if somebody else may have it.
//! Its private part goes with the same statement: nothing signs with it any more. A process that still has it in memory looks
//! for a new one every second.

use contracts::audit::By;
use contracts::auth::SigningKeysChanged;
use kernel::Timestamp;
use serde_json::json;

use crate::Context;
use crate::app::audit::{Entry, note};
use crate::domain::audit::Action;
use crate::error::KeyError;
use crate::signing::{create_key, verifies_until};
use crate::store::signing_keys;

/// More than this many keys that still verify are not kept.
const MAX_VERIFYING: u64 = 10;

/// A key took the place of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotatedKeys {
    /// The key that signs.
    pub kid: String,
    /// Until when the key before it verifies.
    pub until: Timestamp,
}

pub(crate) async fn rotate_keys(context: &Context, at_once: bool) -> Result<RotatedKeys, KeyError> {
    let mut tx = context.db.begin().await?;
    let now = tx.system().now();
    let next = create_key(now).map_err(|error| KeyError::Creation(error.to_string()))?;
    let old = signing_keys::active(tx.conn()).await?.ok_or(KeyError::Beaten)?;
    let until = if at_once { now } else { verifies_until(&old, now) };
    if !signing_keys::retire(tx.conn(), &old.kid, until).await? {
        return Err(KeyError::Beaten);
    }
    if at_once {
        signing_keys::retire_all(tx.conn(), now).await?;
    }
    let verifying = signing_keys::count_verifying(tx.conn(), now).await?;
    if verifying > MAX_VERIFYING {
        return Err(KeyError::TooMany(verifying));
    }
    let kid = next.kid.clone();
    signing_keys::insert(tx.conn(), next).await?;
    let entry = Entry {
        by: By::Operator,
        action: Action::SigningKeyRotated,
        target: kid.clone(),
        details: json!({ "before": old.kid, "before_verifies_until": until, "at_once": at_once }),
    };
    note(&tx, entry).await?;
    tx.emit(&SigningKeysChanged { kid: kid.clone(), changed_at: now }).await?;
    tx.commit().await?;
    tracing::info!(key.id = %kid, at_once, "rotated the signing key");
    Ok(RotatedKeys { kid, until })
}
