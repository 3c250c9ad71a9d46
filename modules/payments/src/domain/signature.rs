//! Signatures of incoming webhooks, as Standard Webhooks 1.0 has them
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>):
//! `webhook-signature` lists `v1,<base64 of HMAC-SHA-256 over "id.timestamp.body">`, separated by spaces.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// How far the time of a webhook may be from ours, seconds.
pub(crate) const TOLERANCE_S: i64 = 300;

/// The headers of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed<'a> {
    pub(crate) id: &'a str,
    /// Seconds since the epoch.
    pub(crate) timestamp: &'a str,
    pub(crate) signatures: &'a str,
}

/// Whether one of the signatures is the sender's and the time is near. Compared in constant time.
pub(crate) fn holds(secret: &str, signed: &Signed<'_>, body: &[u8], now_s: i64) -> bool {
    let Ok(sent_s) = signed.timestamp.parse::<i64>() else {
        return false;
    };
    if !(1..=255).contains(&signed.id.len()) || now_s.saturating_sub(sent_s).saturating_abs() > TOLERANCE_S {
        return false;
    }
    let Some(mac) = mac(secret, signed, body) else {
        return false;
    };
    signed
        .signatures
        .split(' ')
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .filter_map(|signature| STANDARD.decode(signature).ok())
        .any(|signature| mac.clone().verify_slice(&signature).is_ok())
}

fn mac(secret: &str, signed: &Signed<'_>, body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key_of(secret)).ok()?;
    mac.update(signed.id.as_bytes());
    mac.update(b".");
    mac.update(signed.timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(mac)
}

/// The key of a secret: `whsec_` and base64, as the standard writes it. A secret that is no base64 is taken as it is,
/// so that one made by hand works too.
fn key_of(secret: &str) -> Vec<u8> {
    let text = secret.strip_prefix("whsec_").unwrap_or(secret);
    STANDARD.decode(text).unwrap_or_else(|_| text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNED: Signed<'static> = Signed {
        id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp: "1614265330",
        signatures: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    };
    const NOW_S: i64 = 1_614_265_330;

    #[test]
    fn the_example_of_the_standard_holds() {
        assert!(holds(SECRET, &SIGNED, BODY, NOW_S));
        let several = format!("v1a,AAAA v1,AAAA {}", SIGNED.signatures);
        assert!(holds(SECRET, &Signed { signatures: &several, ..SIGNED }, BODY, NOW_S + TOLERANCE_S));
    }

    #[test]
    fn anything_else_does_not() {
        assert!(!holds(SECRET, &SIGNED, b"{\"test\": 2432232315}", NOW_S));
        assert!(!holds("whsec_other", &SIGNED, BODY, NOW_S));
        assert!(!holds(SECRET, &Signed { id: "msg_other", ..SIGNED }, BODY, NOW_S));
        assert!(!holds(SECRET, &SIGNED, BODY, NOW_S + TOLERANCE_S + 1));
        assert!(!holds(SECRET, &SIGNED, BODY, NOW_S - TOLERANCE_S - 1));
        for timestamp in ["", "soon", "9223372036854775808", "-9223372036854775808"] {
            assert!(!holds(SECRET, &Signed { timestamp, ..SIGNED }, BODY, NOW_S), "{timestamp}");
        }
        let bare = SIGNED.signatures.trim_start_matches("v1,");
        for signatures in ["", "v1,", "v1,!", bare] {
            assert!(!holds(SECRET, &Signed { signatures, ..SIGNED }, BODY, NOW_S), "{signatures}");
        }
    }
}
