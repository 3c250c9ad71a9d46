//! The port: what verifiers of tokens must know.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::auth::{AuthPort, PublicKey, Revoked};
use contracts::port::{NoRefusal, PortError};
use platform::failpoint;
use sea_orm::DbErr;

use crate::Context;
use crate::signing::public_part;
use crate::store::{sessions, signing_keys, user_revocations};

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
}
