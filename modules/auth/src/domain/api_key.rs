//! What an API key may be.

use std::collections::BTreeSet;
use std::time::Duration;

use contracts::scopes::Scope;
use contracts::users::Role;
use kernel::Timestamp;
use thiserror::Error;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a key lives for which nothing was said, days.
const DEFAULT_DAYS: u32 = 90;
/// The longest life of a key, days.
pub(crate) const MAX_DAYS: u32 = 365;
/// Keys that one user has at a time. The database has as many slots.
pub(crate) const MAX_KEYS: i64 = 20;

/// Why there is no such key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ApiKeyFault {
    #[error("a name is 1 to 100 characters without control characters")]
    Name,
    #[error("an API key has at least one scope, such as `orders:read`")]
    NoScopes,
    #[error("{0}")]
    UnknownScope(contracts::scopes::NoScope),
    #[error("only an admin may do anything with `{0}`")]
    BeyondRole(Scope),
    #[error("an API key expires in the future, and within {MAX_DAYS} days")]
    Expiry,
}

/// 1 to 100 characters without control characters.
pub(crate) fn parse_name(text: &str) -> Result<String, ApiKeyFault> {
    let name = text.trim();
    match (1..=100).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
        true => Ok(name.to_owned()),
        false => Err(ApiKeyFault::Name),
    }
}

/// The scopes that are asked for, each once and in order; those that the role could do nothing with are refused.
pub(crate) fn parse_scopes(asked: &[String], role: Role) -> Result<Vec<Scope>, (usize, ApiKeyFault)> {
    let mut scopes = BTreeSet::new();
    for (at, text) in asked.iter().enumerate() {
        let scope: Scope = text.parse().map_err(|error| (at, ApiKeyFault::UnknownScope(error)))?;
        if role != Role::Admin && !scope.is_for_customers() {
            return Err((at, ApiKeyFault::BeyondRole(scope)));
        }
        scopes.insert(scope);
    }
    match scopes.is_empty() {
        true => Err((0, ApiKeyFault::NoScopes)),
        false => Ok(scopes.into_iter().collect()),
    }
}

/// When a key expires.
pub(crate) fn expiry(asked: Option<Timestamp>, now: Timestamp) -> Result<Timestamp, ApiKeyFault> {
    let Some(asked) = asked else {
        return Ok(now.plus(DAY * DEFAULT_DAYS));
    };
    match asked > now && asked <= now.plus(DAY * MAX_DAYS) {
        true => Ok(asked),
        false => Err(ApiKeyFault::Expiry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(asked: &[&str], role: Role) -> Result<String, ApiKeyFault> {
        let asked: Vec<String> = asked.iter().map(|scope| (*scope).to_owned()).collect();
        let scopes = parse_scopes(&asked, role).map_err(|(_, fault)| fault)?;
        Ok(scopes.iter().map(Scope::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn scopes_are_known_and_within_the_role() {
        assert_eq!(
            scopes(&["orders:write", "cart:read", "orders:write"], Role::Customer).unwrap(),
            "cart:read orders:write"
        );
        assert_eq!(scopes(&[], Role::Admin), Err(ApiKeyFault::NoScopes));
        assert!(matches!(scopes(&["orders:*"], Role::Admin), Err(ApiKeyFault::UnknownScope(_))));
        assert!(matches!(scopes(&["catalog:write"], Role::Customer), Err(ApiKeyFault::BeyondRole(_))));
        assert_eq!(scopes(&["catalog:write"], Role::Admin).unwrap(), "catalog:write");
    }

    #[test]
    fn a_key_lives_at_most_a_year() {
        let now = Timestamp::from_ms(1_000);
        assert_eq!(expiry(None, now), Ok(now.plus(DAY * 90)));
        assert_eq!(expiry(Some(now.plus(DAY * 365)), now), Ok(now.plus(DAY * 365)));
        for bad in [now, Timestamp::EPOCH, now.plus(DAY * 365).plus(Duration::from_millis(1))] {
            assert_eq!(expiry(Some(bad), now), Err(ApiKeyFault::Expiry));
        }
        assert_eq!(parse_name(" nightly export "), Ok("nightly export".to_owned()));
        for bad in ["", " ", "a\nb", &"x".repeat(101)] {
            assert_eq!(parse_name(bad), Err(ApiKeyFault::Name));
        }
    }
}
