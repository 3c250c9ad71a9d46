//! What an API key may be used for: a module and a verb, `orders:read`. Documents, keys and verifiers mean the same by it.

use std::fmt;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::modules::MODULES;

/// Reading or changing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    Read,
    Write,
}

/// One module and one verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    module: &'static str,
    verb: Verb,
}

/// Why a text is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a scope is `<module>:read` or `<module>:write`, such as `orders:read`")]
pub struct NoScope;

/// Where only admins change anything. A test compares it with the policies of all operations.
const CHANGED_BY_ADMINS: &[&str] = &["auth", "catalog", "inventory", "notifications"];

impl Scope {
    /// Every scope, by module.
    pub fn all() -> impl Iterator<Item = Scope> {
        MODULES.iter().flat_map(|(module, _)| [Verb::Read, Verb::Write].map(|verb| Scope { module, verb }))
    }

    /// Whether a customer may do anything at all that needs it.
    pub fn is_for_customers(self) -> bool {
        self.verb == Verb::Read || !CHANGED_BY_ADMINS.contains(&self.module)
    }
}

impl FromStr for Scope {
    type Err = NoScope;

    fn from_str(text: &str) -> Result<Self, NoScope> {
        let (module, verb) = text.split_once(':').ok_or(NoScope)?;
        let (module, _) = MODULES.iter().find(|(name, _)| *name == module).ok_or(NoScope)?;
        match verb {
            "read" => Ok(Scope { module, verb: Verb::Read }),
            "write" => Ok(Scope { module, verb: Verb::Write }),
            _ => Err(NoScope),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.verb {
            Verb::Read => "read",
            Verb::Write => "write",
        };
        write!(f, "{}:{verb}", self.module)
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_module_and_a_verb() {
        assert_eq!(Scope::all().count(), 16);
        for scope in Scope::all() {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        for bad in
            ["", "orders", "orders:", "orders:delete", "ordres:read", "Orders:read", "orders:read ", "*"]
        {
            assert_eq!(bad.parse::<Scope>(), Err(NoScope), "{bad}");
        }
    }
}
