//! The port of `auth`, far away. Every call may be made twice.

use std::sync::Arc;

use actix_web::web;
use async_trait::async_trait;
use contracts::auth::{ApiKey, ApiKeyUse, AuthPort, PublicKey, Revoked};
use contracts::port::{NoRefusal, PortError};
use kernel::ApiKeyId;
use serde::{Deserialize, Serialize};

use crate::operation::Operation;
use crate::peer::Peer;
use crate::routes::Routes;

/// Nothing is asked for but the thing itself.
#[derive(Debug, Serialize, Deserialize)]
struct Everything {}

const PUBLIC_KEYS: Operation<Everything, Vec<PublicKey>, NoRefusal> =
    Operation::idempotent("auth", "public_keys");
const REVOKED: Operation<Everything, Revoked, NoRefusal> = Operation::idempotent("auth", "revoked");

const API_KEY: Operation<ApiKeyId, Option<ApiKey>, NoRefusal> = Operation::idempotent("auth", "api_key");
const NOTE_API_KEY_USES: Operation<Vec<ApiKeyUse>, (), NoRefusal> =
    Operation::idempotent("auth", "note_api_key_uses");

struct RemoteAuth(Peer);

/// The port, asked over HTTP.
pub fn client(peer: Peer) -> Arc<dyn AuthPort> {
    Arc::new(RemoteAuth(peer))
}

#[async_trait]
impl AuthPort for RemoteAuth {
    async fn public_keys(&self) -> Result<Vec<PublicKey>, PortError<NoRefusal>> {
        self.0.call(&PUBLIC_KEYS, &Everything {}).await
    }

    async fn revoked(&self) -> Result<Revoked, PortError<NoRefusal>> {
        self.0.call(&REVOKED, &Everything {}).await
    }

    async fn api_key(&self, id: ApiKeyId) -> Result<Option<ApiKey>, PortError<NoRefusal>> {
        self.0.call(&API_KEY, &id).await
    }

    async fn note_api_key_uses(&self, uses: Vec<ApiKeyUse>) -> Result<(), PortError<NoRefusal>> {
        self.0.call(&NOTE_API_KEY_USES, &uses).await
    }
}

/// The internal routes of the port.
pub fn routes(config: &mut web::ServiceConfig, port: Arc<dyn AuthPort>) {
    Routes::new(config, port)
        .serve(PUBLIC_KEYS, |auth, Everything {}| async move { auth.public_keys().await })
        .serve(REVOKED, |auth, Everything {}| async move { auth.revoked().await })
        .serve(API_KEY, |auth, id| async move { auth.api_key(id).await })
        .serve(NOTE_API_KEY_USES, |auth, uses| async move { auth.note_api_key_uses(uses).await });
}
