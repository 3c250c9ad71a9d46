//! Passwords, as people choose them and as they type them.

use std::collections::HashSet;
use std::sync::LazyLock;

/// A password that someone typed. Not [`Display`](std::fmt::Display), and its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Password(String);

/// Why a text cannot become a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PasswordRefused {
    /// Not 8 to 128 characters.
    Length,
    /// One of those that attackers try first.
    Common,
    /// A name of the account itself.
    Name,
}

/// What people choose most, one a line in lower case: words, walks over the keyboard, years and their usual endings.
static COMMON: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());

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
            Err(PasswordRefused::Length)
        }
    }

    /// The same for a password that a client chose for an account with these names: none that attackers try first, whatever
    /// its case, and none of the names. The operator of a shop may choose any.
    pub(crate) fn choose_for(names: &[&str], text: String) -> Result<Self, PasswordRefused> {
        let chosen = Self::choose(text)?;
        let plain = chosen.0.trim().to_lowercase();
        let is_name = |name: &&str| {
            let name = name.trim().to_lowercase();
            plain == name || name.split_once('@').is_some_and(|(mailbox, _)| plain == mailbox)
        };
        if names.iter().any(is_name) {
            return Err(PasswordRefused::Name);
        }
        if COMMON.contains(plain.as_str()) { Err(PasswordRefused::Common) } else { Ok(chosen) }
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
            assert_eq!(Password::choose(bad.to_owned()), Err(PasswordRefused::Length), "{bad}");
        }
    }

    #[test]
    fn what_attackers_try_first_is_refused_whatever_its_case() {
        let names = ["Ada.Lovelace@example.com", "countess"];
        let choose = |text: &str| Password::choose_for(&names, text.to_owned()).map(|_| ());
        for common in ["password", "PassWord123", "12345678", "qwertyuiop", " iloveyou1 ", "aaaaaaaa"] {
            assert_eq!(choose(common), Err(PasswordRefused::Common), "{common}");
        }
        for name in ["ada.lovelace@example.com", "ADA.LOVELACE", "Countess"] {
            assert_eq!(choose(name), Err(PasswordRefused::Name), "{name}");
        }
        for good in ["correct horse", "password of ada", "🔑🔑🔑🔑🔑🔑🔑🔑"] {
            assert_eq!(choose(good), Ok(()), "{good}");
        }
        assert_eq!(choose("short"), Err(PasswordRefused::Length));
    }

    #[test]
    fn the_list_is_in_order_in_lower_case_and_only_of_what_could_be_chosen() {
        let lines: Vec<&str> = include_str!("common_passwords.txt").lines().collect();
        assert!(lines.is_sorted() && COMMON.len() == lines.len(), "sorted, each once");
        for line in lines {
            assert!(line.chars().count() >= MIN_CHARACTERS && line.to_lowercase() == line, "{line}");
        }
    }

    #[test]
    fn a_password_does_not_show() {
        assert_eq!(format!("{:?}", Password::typed("open sesame".to_owned())), "Password(..)");
    }
}
