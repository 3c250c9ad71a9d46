//! What someone types to say who they are: an email address or a username.

/// A login name without its case and the space around it, so that every spelling of it is throttled as one.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct LoginName(String);

/// The longest name that can exist: an email address (RFC 5321).
const MAX_BYTES: usize = 254;

impl LoginName {
    pub(crate) fn read(text: &str) -> Self {
        Self(text.trim().to_lowercase())
    }

    /// The name to look up; `None` if nobody can have it.
    pub(crate) fn plausible(&self) -> Option<&str> {
        let possible =
            !self.0.is_empty() && self.0.len() <= MAX_BYTES && !self.0.chars().any(char::is_control);
        possible.then_some(self.0.as_str())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Login names are personal data.
impl std::fmt::Debug for LoginName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoginName(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_one_name() {
        assert_eq!(LoginName::read(" Ada@Example.COM\n").plausible(), Some("ada@example.com"));
        for bad in ["", "  ", "a\0b", &"x".repeat(255)] {
            assert_eq!(LoginName::read(bad).plausible(), None, "{bad:?}");
        }
    }
}
