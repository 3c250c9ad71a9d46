//! Service tokens: what a process shows at the internal routes of another.
//!
//! A JWT signed with the secret that the processes of one shop share (HS256). It names the module it is for, lives a
//! minute, and is of another type, key and algorithm than the tokens of customers: neither is ever taken for the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::header::{self, HeaderMap};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use kernel::{Clock, Timestamp};
use platform::problem::{Problem, codes};
use reqwest::header::HeaderValue;
use serde::{Deserialize, Serialize};
use thiserror::Error;

const ISSUER: &str = "souk";
const TOKEN_TYPE: &str = "service+jwt";
const LIFETIME: Duration = Duration::from_secs(60);
/// A token with less than this is not used any more.
const RENEW_BEFORE: Duration = Duration::from_secs(20);
/// Tolerated difference between the clocks of two machines.
const LEEWAY_S: i64 = 5;

/// The fewest characters of a secret.
pub const MIN_SECRET: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    iss: String,
    /// The modules of the calling process.
    sub: String,
    aud: String,
    iat: i64,
    exp: i64,
}

fn audience(module: &str) -> String {
    format!("souk/internal/{module}")
}

fn seconds(instant: Timestamp) -> i64 {
    instant.ms() / 1_000
}

/// Why a token cannot be shown.
#[derive(Debug, Error)]
pub(crate) enum TokenError {
    #[error("a service token cannot be signed")]
    Signing(#[from] jsonwebtoken::errors::Error),
    #[error("a service token is no header")]
    Header(#[from] reqwest::header::InvalidHeaderValue),
}

/// Signs the tokens of this process, one for each module it calls, and signs them again before they end.
pub(crate) struct ServiceTokens {
    key: EncodingKey,
    caller: String,
    clock: Arc<dyn Clock>,
    signed: Mutex<HashMap<&'static str, (HeaderValue, Timestamp)>>,
}

impl ServiceTokens {
    pub(crate) fn new(secret: &str, caller: String, clock: Arc<dyn Clock>) -> Self {
        Self { key: EncodingKey::from_secret(secret.as_bytes()), caller, clock, signed: Mutex::default() }
    }

    /// The `Authorization` of a call to a module.
    pub(crate) fn authorization(&self, module: &'static str) -> Result<HeaderValue, TokenError> {
        let now = self.clock.now();
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((value, use_until)) = signed.get(module)
            && now < *use_until
            // A clock that was set back would make the token one of the future.
            && now.plus(LIFETIME) >= *use_until
        {
            return Ok(value.clone());
        }
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: self.caller.clone(),
            aud: audience(module),
            iat: seconds(now),
            exp: seconds(now.plus(LIFETIME)),
        };
        let header = Header { typ: Some(TOKEN_TYPE.to_owned()), ..Header::new(Algorithm::HS256) };
        let token = jsonwebtoken::encode(&header, &claims, &self.key)?;
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))?;
        value.set_sensitive(true);
        signed.insert(module, (value.clone(), now.plus(LIFETIME).minus(RENEW_BEFORE)));
        Ok(value)
    }
}

/// Lets the other processes of this shop in at the internal routes, and nobody else. Given to the server as app data;
/// without it the internal routes refuse everyone.
pub struct Gate {
    /// None if there is no secret worth the name: then nobody gets in.
    key: Option<DecodingKey>,
    clock: Arc<dyn Clock>,
}

impl Gate {
    /// A gate that knows the secret of the shop.
    pub fn new(secret: &str, clock: Arc<dyn Clock>) -> Self {
        let key = (secret.len() >= MIN_SECRET).then(|| DecodingKey::from_secret(secret.as_bytes()));
        Self { key, clock }
    }

    /// Who asks, if they may ask this module.
    pub(crate) fn check(&self, headers: &HeaderMap, module: &str) -> Result<String, Problem> {
        self.caller(headers, module).ok_or_else(refused)
    }

    fn caller(&self, headers: &HeaderMap, module: &str) -> Option<String> {
        let token = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.alg != Algorithm::HS256 || header.typ.as_deref() != Some(TOKEN_TYPE) {
            return None;
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[audience(module)]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Times are checked against the injected clock below.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, self.key.as_ref()?, &validation).ok()?.claims;
        let now = seconds(self.clock.now());
        let lifetime = i64::try_from(LIFETIME.as_secs()).ok()?;
        let is_current = claims.exp.saturating_add(LEEWAY_S) >= now
            && claims.iat <= now.saturating_add(LEEWAY_S)
            // Whoever signs a longer one is not this program.
            && claims.exp.saturating_sub(claims.iat) <= lifetime.saturating_add(LEEWAY_S);
        is_current.then_some(claims.sub)
    }
}

/// One answer for whatever is wrong with a token.
pub(crate) fn refused() -> Problem {
    Problem::new(codes::UNAUTHENTICATED, "This is for the processes of the shop only.")
        .header(header::WWW_AUTHENTICATE, "Bearer")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    const SECRET: &str = "a secret of this test alone";

    #[derive(Default)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_ms(self.0.load(Ordering::SeqCst))
        }
    }

    fn at(second: i64) -> Arc<Hand> {
        Arc::new(Hand(AtomicI64::new(second * 1_000)))
    }

    fn with(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, header::HeaderValue::from_str(value).unwrap());
        headers
    }

    fn signed(typ: &str, alg: Algorithm, claims: &Claims, secret: &str) -> HeaderMap {
        let header = Header { typ: Some(typ.to_owned()), ..Header::new(alg) };
        let key = EncodingKey::from_secret(secret.as_bytes());
        with(&format!("Bearer {}", jsonwebtoken::encode(&header, claims, &key).unwrap()))
    }

    fn claims() -> Claims {
        Claims {
            iss: "souk".to_owned(),
            sub: "cart".to_owned(),
            aud: "souk/internal/orders".to_owned(),
            iat: 1_000,
            exp: 1_060,
        }
    }

    #[test]
    fn a_token_opens_the_gate_of_its_module_only() {
        let clock = at(1_000);
        let tokens = ServiceTokens::new(SECRET, "cart,payments".to_owned(), clock.clone());
        let headers = with(tokens.authorization("orders").unwrap().to_str().unwrap());
        let gate = Gate::new(SECRET, clock.clone());
        assert_eq!(gate.check(&headers, "orders").unwrap(), "cart,payments");
        assert!(gate.check(&headers, "inventory").is_err());
        assert!(Gate::new("another secret of this test", clock.clone()).check(&headers, "orders").is_err());
        assert!(Gate::new("", clock).check(&headers, "orders").is_err());
    }

    #[test]
    fn a_token_is_kept_and_renewed_before_it_ends() {
        let clock = at(1_000);
        let tokens = ServiceTokens::new(SECRET, "cart".to_owned(), clock.clone());
        let gate = Gate::new(SECRET, clock.clone());
        let first = tokens.authorization("orders").unwrap();
        clock.0.store(1_039_000, Ordering::SeqCst);
        assert_eq!(tokens.authorization("orders").unwrap(), first);
        clock.0.store(1_040_000, Ordering::SeqCst);
        let second = tokens.authorization("orders").unwrap();
        assert_ne!(second, first);
        clock.0.store(1_066_000, Ordering::SeqCst);
        assert!(gate.check(&with(first.to_str().unwrap()), "orders").is_err());
        assert!(gate.check(&with(second.to_str().unwrap()), "orders").is_ok());
        // The clock is set back: a token of the future would be refused.
        clock.0.store(500_000, Ordering::SeqCst);
        let third = tokens.authorization("orders").unwrap();
        assert!(gate.check(&with(third.to_str().unwrap()), "orders").is_ok());
    }

    #[test]
    fn only_this_kind_of_token_is_taken() {
        let gate = Gate::new(SECRET, at(1_010));
        let passes = |headers: &HeaderMap| gate.check(headers, "orders").is_ok();
        assert!(passes(&signed("service+jwt", Algorithm::HS256, &claims(), SECRET)));
        assert!(!passes(&signed("at+jwt", Algorithm::HS256, &claims(), SECRET)));
        assert!(!passes(&signed("service+jwt", Algorithm::HS512, &claims(), SECRET)));
        assert!(!passes(&signed("service+jwt", Algorithm::HS256, &claims(), "another secret")));
        let wrong = [
            Claims { iss: "bazaar".to_owned(), ..claims() },
            Claims { aud: "souk".to_owned(), ..claims() },
            Claims { exp: 1_004, ..claims() },
            Claims { iat: 1_016, exp: 1_076, ..claims() },
            Claims { exp: 5_000, ..claims() },
        ];
        for claims in wrong {
            assert!(!passes(&signed("service+jwt", Algorithm::HS256, &claims, SECRET)), "{claims:?}");
        }
        for value in ["", "Bearer", "Bearer ", "Bearer x.y.z", "Basic c291azpzb3Vr"] {
            assert!(!passes(&with(value)), "{value}");
        }
        assert!(!passes(&HeaderMap::new()));
    }
}
