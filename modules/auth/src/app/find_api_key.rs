//! What a verifier must know of a key: its hash, its bounds, and what its owner may do now.

use contracts::auth::ApiKey;
use kernel::{ApiKeyId, Timestamp, UserId};

use crate::Context;
use crate::app::access::current_access;
use crate::app::second_factor::limit_admin;
use crate::error::AuthError;
use crate::store::{api_keys, second_factors};

/// `None` for a key that is not valid now, and for one whose owner is switched off.
pub(crate) async fn find_api_key(context: &Context, id: ApiKeyId) -> Result<Option<ApiKey>, AuthError> {
    let Some(row) = api_keys::find(context.db.reader(), id).await? else { return Ok(None) };
    if !row.is_valid_at(context.db.system().now()) {
        return Ok(None);
    }
    let owner = UserId(row.user_id);
    let Some(mut access) = current_access(context, owner).await? else { return Ok(None) };
    // A machine of an admin who may not act as one yet may not either.
    let has_factor = second_factors::confirmed(context.db.reader(), owner).await?.is_some();
    let role = access.profile.role;
    limit_admin(context, &mut access, has_factor, role);
    Ok(Some(ApiKey {
        id,
        user_id: access.profile.id,
        role: row.role_for(access.profile.role),
        email: access.profile.email.as_str().to_owned(),
        scopes: row.scopes(),
        expires_at: Timestamp::from_ms(row.expires_at_ms),
        as_of: access.as_of,
        secret_hash: row.secret_hash,
    }))
}
