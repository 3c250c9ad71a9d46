//! Who did something that must be known for good: carried by the events that `auth` keeps in its audit log.

use kernel::{ApiKeyId, UserId};
use serde::{Deserialize, Serialize};

/// Who did it. An event of a release that did not say so yet reads as done by [`By::Shop`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum By {
    /// A person who has logged in, or who registers.
    User { user_id: UserId },
    /// A machine, with a key of this user's.
    ApiKey { user_id: UserId, api_key_id: ApiKeyId },
    /// Whoever holds the command line.
    Operator,
    /// A rule of the shop, such as the refund of a cancelled order.
    #[default]
    Shop,
}

impl By {
    /// The name on the wire and in the database.
    pub fn kind(self) -> &'static str {
        match self {
            By::User { .. } => "user",
            By::ApiKey { .. } => "api_key",
            By::Operator => "operator",
            By::Shop => "shop",
        }
    }

    /// The user who acts, or for whom a machine does.
    pub fn user_id(self) -> Option<UserId> {
        match self {
            By::User { user_id } | By::ApiKey { user_id, .. } => Some(user_id),
            By::Operator | By::Shop => None,
        }
    }

    /// The key of a machine.
    pub fn api_key_id(self) -> Option<ApiKeyId> {
        match self {
            By::ApiKey { api_key_id, .. } => Some(api_key_id),
            By::User { .. } | By::Operator | By::Shop => None,
        }
    }

    /// Somebody who is known, from what a row remembers of them; nobody is the shop.
    pub fn known(user_id: Option<UserId>, api_key_id: Option<ApiKeyId>) -> Self {
        match (user_id, api_key_id) {
            (Some(user_id), Some(api_key_id)) => By::ApiKey { user_id, api_key_id },
            (Some(user_id), None) => By::User { user_id },
            (None, _) => By::Shop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_before_reads_as_the_shops() {
        #[derive(Deserialize)]
        struct Older {
            #[serde(default)]
            by: By,
        }
        assert_eq!(serde_json::from_str::<Older>("{}").unwrap().by, By::Shop);
        let user_id = UserId(uuid::Uuid::from_u128(7));
        for by in [By::User { user_id }, By::known(Some(user_id), Some(ApiKeyId(uuid::Uuid::from_u128(8))))] {
            assert_eq!(By::known(by.user_id(), by.api_key_id()), by);
            assert_eq!(serde_json::from_value::<By>(serde_json::to_value(by).unwrap()).unwrap(), by);
        }
    }
}
