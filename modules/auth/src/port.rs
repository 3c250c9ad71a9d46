//! The port: what verifiers of tokens must know.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::auth::{ApiKey, ApiKeyUse, AuthPort, MAX_USES, PublicKey, Revoked};
use contracts::port::{NoRefusal, PortError};
use kernel::ApiKeyId;
use platform::failpoint;
use sea_orm::DbErr;

use crate::Context;
use crate::app::find_api_key::find_api_key;
use crate::signing::public_part;
use crate::store::{api_keys, sessions, signing_keys, user_revocations};

pub(crate) struct LocalAuth {
    pub(crate) context: Arc<Context>,
}

fn unavailable(error: DbErr) -> PortError<NoRefusal> {
    PortError::unavailable("auth", error)
}

#[async_trait]
impl AuthPort for LocalAuth {
    async fn public_keys(&self) -> Result<Vec<PublicKey>, PortError<NoRefusal>> {
        failpoint::call("auth", "public_keys", async {
            let db = &self.context.db;
            let keys = signing_keys::published(db.reader(), db.system().now()).await.map_err(unavailable)?;
            Ok(keys.iter().map(public_part).collect())
        })
        .await
    }

    /// Bounded by what can end within the life of one access token.
    async fn revoked(&self) -> Result<Revoked, PortError<NoRefusal>> {
        failpoint::call("auth", "revoked", async {
            let db = &self.context.db;
            let now = db.system().now();
            let sessions = sessions::revoked(db.reader(), now).await.map_err(unavailable)?;
            let users = user_revocations::live(db.reader(), now).await.map_err(unavailable)?;
            Ok(Revoked {
                sessions: sessions.iter().map(sessions::Model::ended).collect(),
                users: users.iter().map(user_revocations::Model::ended).collect(),
            })
        })
        .await
    }

    async fn api_key(&self, id: ApiKeyId) -> Result<Option<ApiKey>, PortError<NoRefusal>> {
        failpoint::call("auth", "api_key", async {
            find_api_key(&self.context, id).await.map_err(|error| PortError::unavailable("auth", error))
        })
        .await
    }

    async fn note_api_key_uses(&self, uses: Vec<ApiKeyUse>) -> Result<(), PortError<NoRefusal>> {
        failpoint::call("auth", "note_api_key_uses", async {
            for used in uses.into_iter().take(MAX_USES) {
                api_keys::note_use(self.context.db.writer(), used).await.map_err(unavailable)?;
            }
            Ok(())
        })
        .await
    }
}
