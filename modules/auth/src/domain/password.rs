//! Passwords, as people choose them and as they type them.

/// A password that someone typed. Not [`Display`](std::fmt::Display), and its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Password(String);

/// Why a text cannot become a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PasswordRefused;

/// The fewest characters of a new password (NIST SP 800-63B, 5.1.1.2).
const MIN_CHARACTERS: usize = 8;
/// The most characters of a new password: enough for any sentence, and a bound on the work of hashing.
const MAX_CHARACTERS: usize = 128;

impl Password {
    /// A new password: 8 to 128 characters of any kind. No rule on which ones: such rules make passwords weaker.
    pub(crate) fn choose(text: String) -> Result<Self, PasswordRefused> {
        let length = text.chars().count();
        if (MIN_CHARACTERS..=MAX_CHARACTERS).contains(&length) {
            Ok(Self(text))
        } else {
            Err(PasswordRefused)
        }
    }

    /// A password that is to be compared: whatever was typed.
    pub(crate) fn typed(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_password_has_8_to_128_characters_whatever_their_bytes() {
        for good in ["password", "🔑🔑🔑🔑🔑🔑🔑🔑", &"é".repeat(128)] {
            assert!(Password::choose(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "1234567", "🔑🔑", &"x".repeat(129)] {
            assert_eq!(Password::choose(bad.to_owned()), Err(PasswordRefused), "{bad}");
        }
    }

    #[test]
    fn a_password_does_not_show() {
        assert_eq!(format!("{:?}", Password::typed("open sesame".to_owned())), "Password(..)");
    }
}
