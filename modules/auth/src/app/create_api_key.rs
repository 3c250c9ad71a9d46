//! A person makes a key by which a machine acts for them. Its secret leaves here once and is kept as a hash only.

use contracts::audit::By;
use contracts::users::Actor;
use kernel::{ApiKeyId, Timestamp};
use platform::access::api_keys::{SECRET_BYTES, hash, write};
use rand::RngCore;
use rand::rngs::OsRng;
use serde_json::json;

use crate::Context;
use crate::app::audit::{Entry, note};
use crate::domain::api_key::{ApiKeyFault, MAX_KEYS, expiry, parse_name, parse_scopes};
use crate::domain::audit::Action;
use crate::error::AuthError;
use crate::store::api_keys;

/// A key that is to be made.
pub(crate) struct CreateApiKey {
    pub(crate) owner: Actor,
    pub(crate) name: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires_at: Option<Timestamp>,
}

/// A key with its text. Not `Debug`: it is a secret.
pub(crate) struct CreatedApiKey {
    pub(crate) row: api_keys::Model,
    pub(crate) text: String,
}

pub(crate) async fn create_api_key(context: &Context, new: CreateApiKey) -> Result<CreatedApiKey, AuthError> {
    let system = context.db.system();
    let (now, id) = (system.now(), ApiKeyId(system.id()));
    let fault = |pointer: &str, fault: ApiKeyFault| AuthError::ApiKey { pointer: pointer.to_owned(), fault };
    let name = parse_name(&new.name).map_err(|refusal| fault("/name", refusal))?;
    let scopes = parse_scopes(&new.scopes, new.owner.role).map_err(|(at, refusal)| match refusal {
        ApiKeyFault::NoScopes => fault("/scopes", refusal),
        refusal => fault(&format!("/scopes/{at}"), refusal),
    })?;
    let expires_at = expiry(new.expires_at, now).map_err(|refusal| fault("/expires_at", refusal))?;
    let mut secret = [0_u8; SECRET_BYTES];
    OsRng.try_fill_bytes(&mut secret)?;
    let mut row = api_keys::Model {
        id: id.uuid(),
        user_id: new.owner.user_id.uuid(),
        slot: 0,
        name,
        scopes: scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        secret_hash: hash(&secret),
        created_at_ms: now.ms(),
        expires_at_ms: expires_at.ms(),
        last_used_at_ms: None,
        revoked_at_ms: None,
        made_as: new.owner.role.as_str().to_owned(),
    };
    // Each round that fails has found its slot taken by another one, so there are fewer the next time.
    loop {
        let held = api_keys::slots_of(context.db.writer(), new.owner.user_id).await?;
        let free = (0..MAX_KEYS).find(|slot| !held.contains(slot));
        row.slot = free.ok_or(AuthError::TooManyApiKeys)?;
        let tx = context.db.begin().await?;
        if api_keys::insert(tx.conn(), row.clone()).await? {
            let entry = Entry {
                by: By::User { user_id: new.owner.user_id },
                action: Action::ApiKeyCreated,
                target: row.id.to_string(),
                details: json!({ "owner": row.user_id, "name": row.name, "scopes": row.scopes, "expires_at": expires_at }),
            };
            note(&tx, entry).await?;
            tx.commit().await?;
            tracing::info!(user.id = %new.owner.user_id, api_key.id = %id, "created an API key");
            return Ok(CreatedApiKey { row, text: write(id, &secret) });
        }
    }
}
