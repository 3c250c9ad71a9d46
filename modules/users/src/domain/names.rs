//! What people may call themselves.

use contracts::users::CreateProfileRefusal;

/// 3 to 64 characters of `a-z 0-9 . _ -`, in lower case. No `@`: a login name with one is an email address.
pub(crate) fn parse_username(text: &str) -> Result<String, CreateProfileRefusal> {
    let username = text.trim().to_lowercase();
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if (3..=64).contains(&username.len()) && username.bytes().all(allowed) {
        Ok(username)
    } else {
        Err(CreateProfileRefusal::InvalidUsername)
    }
}

/// 1 to 200 characters without control characters.
pub(crate) fn parse_name(text: &str) -> Result<String, CreateProfileRefusal> {
    let name = text.trim();
    if (1..=200).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
        Ok(name.to_owned())
    } else {
        Err(CreateProfileRefusal::InvalidName)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_usernames_plain() {
        assert_eq!(parse_username(" Ada.L "), Ok("ada.l".to_owned()));
        for bad in ["", "ab", "a b c", "ada@home", "ädä", &"x".repeat(65)] {
            assert_eq!(parse_username(bad), Err(CreateProfileRefusal::InvalidUsername), "{bad}");
        }
        assert_eq!(parse_name(" Ada Lovelace "), Ok("Ada Lovelace".to_owned()));
        for bad in ["", "  ", "a\nb", &"x".repeat(201)] {
            assert_eq!(parse_name(bad), Err(CreateProfileRefusal::InvalidName), "{bad}");
        }
    }
}
