//! Email addresses as identifiers of accounts.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

/// A plausible email address, lower-cased, at most 254 characters (RFC 5321, 4.5.3.1.3, less the brackets).
///
/// Only the shape is checked (`local@domain`, no spaces or control characters, a domain of labels): whether a mailbox
/// exists can only be learnt by writing to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, format = Email, example = "ada@example.com", max_length = 254)]
pub struct EmailAddress(String);

/// Why a text is no email address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("this is not an email address like ada@example.com")]
pub struct EmailError;

impl EmailAddress {
    /// Reads an address; space around it is dropped, letters become lower case.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let address = text.trim().to_lowercase();
        let (local, domain) = address.rsplit_once('@').ok_or(EmailError)?;
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"<>()[]\\,;:\"@".contains(c);
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        };
        let local_ok = !local.is_empty() && local.len() <= 64 && local.chars().all(plain);
        let domain_ok = domain.split('.').count() >= 2 && domain.split('.').all(label);
        if address.len() <= 254 && local_ok && domain_ok { Ok(Self(address)) } else { Err(EmailError) }
    }

    /// The lower-case text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = EmailError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plausible_addresses_pass_and_others_do_not() {
        assert_eq!(EmailAddress::parse(" Ada@Example.COM ").unwrap().as_str(), "ada@example.com");
        assert!(EmailAddress::parse("o'brien+shop@mail.example.co.uk").is_ok());
        for bad in ["", "a", "a@b", "@b.c", "a b@c.d", "a@b..c", "a@-b.c", "a\n@b.c", "a@b@c.d", "<a@b.c>"] {
            assert_eq!(EmailAddress::parse(bad), Err(EmailError), "{bad}");
        }
    }
}
