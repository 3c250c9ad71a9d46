//! Access tokens as `auth` would sign them, with a key of the test's own.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::auth::{ACCESS_TOKEN_TYPE, AUDIENCE, AccessClaims, ISSUER, PublicKey};
use contracts::users::{Actor, Role};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use kernel::{Clock, SessionId, UserId};
use platform::access::TokenVerifier;
use uuid::Uuid;

use crate::clock::TestClock;

/// A user with a valid token.
#[derive(Debug, Clone)]
pub struct TestUser {
    pub id: UserId,
    pub role: Role,
    pub email: String,
    pub token: String,
}

impl TestUser {
    /// The user as an actor.
    pub fn actor(&self) -> Actor {
        Actor { user_id: self.id, role: self.role }
    }
}

/// Signs tokens, and knows the verifier that accepts them.
#[derive(Clone)]
pub struct Tokens {
    clock: Arc<TestClock>,
    key: EncodingKey,
    public_key: PublicKey,
    verifier: Arc<TokenVerifier>,
}

impl Tokens {
    /// Of this time, with a key of their own.
    pub fn new(clock: Arc<TestClock>) -> Self {
        let secret: [u8; 32] = rand::random();
        let signing = SigningKey::from_bytes(&secret);
        let verifier = TokenVerifier::new(clock.clone());
        let public_key = PublicKey {
            kid: "test".to_owned(),
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            alg: "EdDSA".to_owned(),
            usage: "sig".to_owned(),
            x: URL_SAFE_NO_PAD.encode(signing.verifying_key().as_bytes()),
        };
        verifier.set_keys(std::slice::from_ref(&public_key));
        let key = EncodingKey::from_ed_der(signing.to_pkcs8_der().unwrap().as_bytes());
        Self { clock, key, public_key, verifier: Arc::new(verifier) }
    }

    /// What the server under test verifies with.
    pub fn verifier(&self) -> Arc<TokenVerifier> {
        self.verifier.clone()
    }

    /// What they are verified with.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// A fresh customer.
    pub fn customer(&self) -> TestUser {
        self.user(UserId(Uuid::now_v7()), Role::Customer)
    }

    /// A fresh admin.
    pub fn admin(&self) -> TestUser {
        self.user(UserId(Uuid::now_v7()), Role::Admin)
    }

    /// A user with this id and role.
    pub fn user(&self, id: UserId, role: Role) -> TestUser {
        let email = format!("{}@example.com", id.uuid().simple());
        let now = self.clock.now();
        let claims = AccessClaims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: id,
            sid: SessionId(Uuid::now_v7()),
            role,
            email: email.clone(),
            iat: now.ms() / 1_000,
            iat_ms: now.ms(),
            exp: now.plus(Duration::from_secs(900)).ms() / 1_000,
        };
        let header = Header {
            kid: Some("test".to_owned()),
            typ: Some(ACCESS_TOKEN_TYPE.to_owned()),
            ..Header::new(Algorithm::EdDSA)
        };
        TestUser { id, role, email, token: jsonwebtoken::encode(&header, &claims, &self.key).unwrap() }
    }
}
