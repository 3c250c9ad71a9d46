//! The texts that clients send along.

/// What stands for a card at the provider. Never shown, not even in logs.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// 1 to 255 visible ASCII characters; whether it stands for a card only the provider knows.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let fits = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why money is given back, in the words of who does it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reason(String);

impl Reason {
    /// 1 to 200 characters, none of them a control character.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = (1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned()))
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded_and_tokens_hidden() {
        for bad in ["", "a b", "é", "a\n", &"x".repeat(256)] {
            assert_eq!(Token::parse(bad), None, "{bad}");
        }
        let token = Token::parse("tok_ok").unwrap();
        assert!(!format!("{token:?}").contains("tok_ok"));
        for bad in ["", "  ", "a\u{7}b", &"x".repeat(201)] {
            assert_eq!(Reason::parse(bad), None, "{bad}");
        }
        assert_eq!(Reason::parse(" broken ").map(Reason::into_text).as_deref(), Some("broken"));
    }
}
