//! Codes of an authenticator app: TOTP (RFC 6238) with SHA-1, six digits and steps of 30 seconds, which is what every such app
//! understands.

use hmac::{Hmac, Mac};
use kernel::Timestamp;
use sha1::Sha1;

const STEP_MS: i64 = 30_000;
/// Codes of so many steps before and after the present one are good too: clocks differ, and people type slowly.
const TOLERATED_STEPS: i64 = 1;
const DIGITS: usize = 6;
const CODES: u32 = 1_000_000;
/// RFC 4648, section 6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The step whose code this is, if it is one of now or nearly now.
pub(crate) fn matching_step(secret: &[u8], code: &str, now: Timestamp) -> Option<i64> {
    let well_formed = code.len() == DIGITS && code.bytes().all(|byte| byte.is_ascii_digit());
    let typed: u32 = well_formed.then(|| code.parse().ok()).flatten()?;
    let present = now.ms() / STEP_MS;
    (present - TOLERATED_STEPS..=present + TOLERATED_STEPS)
        .find(|step| hotp(secret, *step).is_some_and(|code| code % CODES == typed))
}

/// The number that a code is the end of (RFC 4226, 5.3).
fn hotp(secret: &[u8], step: i64) -> Option<u32> {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).ok()?;
    mac.update(&u64::try_from(step).ok()?.to_be_bytes());
    let digest = mac.finalize().into_bytes();
    let offset = usize::from(*digest.last()? & 0x0f);
    let four: [u8; 4] = digest.get(offset..offset + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(four) & 0x7fff_ffff)
}

/// Base32 without padding, as apps read secrets and people read recovery codes.
pub(crate) fn base32(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut pending, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        pending = (pending << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            push_digit(&mut text, pending >> bits);
        }
        pending &= (1 << bits) - 1;
    }
    if bits > 0 {
        push_digit(&mut text, pending << (5 - bits));
    }
    text
}

fn push_digit(text: &mut String, five_bits: u32) {
    let index = usize::try_from(five_bits & 31).unwrap_or_default();
    text.extend(BASE32.get(index).map(|byte| char::from(*byte)));
}

/// What an app reads from a QR code.
pub(crate) fn otpauth_uri(account: &str, secret: &str) -> String {
    let account: String = account.bytes().map(escaped).collect();
    format!("otpauth://totp/Souk:{account}?secret={secret}&issuer=Souk&algorithm=SHA1&digits=6&period=30")
}

/// RFC 3986, 2.3: what is not unreserved is escaped.
fn escaped(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_rfc() {
        // RFC 6238, appendix B: eight digits there, of which an app shows the last six.
        for (seconds, expected) in [
            (59, 94_287_082),
            (1_111_111_109, 7_081_804),
            (1_111_111_111, 14_050_471),
            (1_234_567_890, 89_005_924),
            (2_000_000_000, 69_279_037),
            (20_000_000_000, 65_353_130),
        ] {
            let step = seconds / 30;
            assert_eq!(hotp(b"12345678901234567890", step).unwrap() % 100_000_000, expected, "{seconds}");
            let code = format!("{:06}", expected % CODES);
            let now = Timestamp::from_ms(seconds * 1_000);
            assert_eq!(matching_step(b"12345678901234567890", &code, now), Some(step), "{code}");
        }
    }

    #[test]
    fn a_code_is_good_one_step_early_and_late() {
        let secret = b"12345678901234567890";
        let at = |seconds: i64| matching_step(secret, "287082", Timestamp::from_ms(seconds * 1_000));
        assert_eq!([at(0), at(29), at(30), at(59), at(89)], [Some(1); 5]);
        assert_eq!(at(90), None);
        for bad in ["", "28708", "2870822", "28708a", "+87082", " 287082"] {
            assert_eq!(matching_step(secret, bad, Timestamp::from_ms(59_000)), None, "{bad}");
        }
    }

    #[test]
    fn base32_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn an_account_cannot_add_parameters() {
        let uri = otpauth_uri("a&b?c@example.com", "MZXW6");
        assert!(
            uri.starts_with("otpauth://totp/Souk:a%26b%3Fc%40example.com?secret=MZXW6&issuer=Souk"),
            "{uri}"
        );
    }
}
