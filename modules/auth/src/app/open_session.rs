//! Opens a session, with its first pair of tokens.

use std::net::IpAddr;

use contracts::users::Profile;
use kernel::SessionId;

use crate::Context;
use crate::app::access::Access;
use crate::error::AuthError;
use crate::secret_token::SecretToken;
use crate::store::{credentials, sessions};

/// What a login or a refresh hands out. Not `Debug`: tokens are secrets.
pub(crate) struct TokenPair {
    pub(crate) user: Profile,
    pub(crate) access_token: String,
    pub(crate) expires_in_s: u64,
    pub(crate) refresh_token: String,
    /// An admin who may do what a customer may, until there is a second factor.
    pub(crate) must_enrol: bool,
}

/// What a request says of the client it comes from; people know their sessions by it.
#[derive(Clone, Default)]
pub(crate) struct Device {
    /// 1 to 200 characters, none of them for control.
    pub(crate) user_agent: Option<String>,
    pub(crate) address: Option<IpAddr>,
}

/// Refuses if the password that let the user in is no longer the current one: whoever replaces a password ends every session
/// of before, so none may slip in afterwards.
pub(crate) async fn open_session(
    context: &Context,
    access: Access,
    password_version: i64,
    device: &Device,
) -> Result<TokenPair, AuthError> {
    let system = context.db.system();
    let now = system.now();
    let session_id = SessionId(system.id());
    let refresh_token = SecretToken::create()?;
    let token = context.signer.sign(session_id, &access, now)?;
    let row = sessions::Model {
        id: session_id.uuid(),
        user_id: access.profile.id.uuid(),
        role: access.profile.role.as_str().to_owned(),
        created_at_ms: now.ms(),
        refreshed_at_ms: now.ms(),
        access_as_of_ms: access.as_of.ms(),
        tokens_expire_at_ms: token.impossible_from.ms(),
        refresh_hash: refresh_token.hash(),
        refresh_expires_at_ms: now.plus(context.refresh_lifetime).ms(),
        ended_at_ms: None,
        end_reason: None,
        user_agent: device.user_agent.clone(),
        client_address: device.address.map(|address| address.to_string()),
    };
    let tx = context.db.begin().await?;
    if !credentials::hold(tx.conn(), access.profile.id, password_version).await? {
        tx.rollback().await?;
        return Err(AuthError::InvalidCredentials);
    }
    sessions::insert(tx.conn(), row).await?;
    tx.commit().await?;
    tracing::info!(user.id = %access.profile.id, session.id = %session_id, "opened a session");
    Ok(TokenPair {
        user: access.profile,
        access_token: token.text,
        expires_in_s: context.signer.lifetime_s(),
        refresh_token: refresh_token.text(),
        must_enrol: false,
    })
}
