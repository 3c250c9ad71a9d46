//! What only the shop itself has: a thief who has got hold of it can sign whatever they like, and so can these tests.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deployments::{Running, block_on, text};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use sea_orm::{ConnectionTrait, Database, Statement};
use serde_json::Value;

/// A key that signs access tokens.
#[derive(Clone)]
pub struct Stolen {
    pub kid: String,
    pub key: EncodingKey,
}

impl Stolen {
    /// The key that signs now, out of the database of `auth`.
    pub fn from(running: &Running) -> Result<Self, String> {
        block_on(async {
            let (address, table) = match running.database_url() {
                Some(url) => (url.to_owned(), "auth.signing_keys"),
                None => {
                    (format!("sqlite://{}", running.data().join("auth.sqlite").display()), "signing_keys")
                }
            };
            let connection = Database::connect(address).await.map_err(text)?;
            let sql = format!("SELECT kid, private_key FROM {table} WHERE state = 'active'");
            let query = Statement::from_string(connection.get_database_backend(), sql);
            let row = connection.query_one_raw(query).await.map_err(text)?.ok_or("no key signs")?;
            let private: Vec<u8> = row.try_get("", "private_key").map_err(text)?;
            let kid = row.try_get("", "kid").map_err(text)?;
            connection.close().await.map_err(text)?;
            Ok(Self { kid, key: EncodingKey::from_ed_der(&private) })
        })
    }

    /// A header as the shop writes it.
    pub fn header(&self) -> Header {
        Header {
            kid: Some(self.kid.clone()),
            typ: Some("at+jwt".to_owned()),
            ..Header::new(Algorithm::EdDSA)
        }
    }

    /// Signs whatever it is told.
    pub fn sign(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.key).unwrap()
    }
}

/// A part of a token, as JSON.
pub fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

/// A part of a token, from JSON.
pub fn written(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}
