//! The keys, for whoever looks after them. Nothing secret.

use kernel::Timestamp;
use serde::Serialize;

use crate::Context;
use crate::error::KeyError;
use crate::store::signing_keys;

/// A key as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedKey {
    pub kid: String,
    /// `active`: it signs; `retiring`: it verifies; `retired`: its tokens are refused.
    pub state: String,
    pub created_at: Timestamp,
    /// None while it signs.
    pub verifies_until: Option<Timestamp>,
}

pub(crate) async fn list_keys(context: &Context) -> Result<Vec<ListedKey>, KeyError> {
    let now = context.db.system().now();
    let rows = signing_keys::latest(context.db.reader()).await?;
    let listed = |row: &signing_keys::Model| ListedKey {
        kid: row.kid.clone(),
        state: row.state_at(now).to_owned(),
        created_at: Timestamp::from_ms(row.created_at_ms),
        verifies_until: row.retires_at_ms.map(Timestamp::from_ms),
    };
    Ok(rows.iter().map(listed).collect())
}
