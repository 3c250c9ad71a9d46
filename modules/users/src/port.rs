//! The port, over the use cases of `app/`.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::port::{NoRefusal, PortError};
use contracts::users::{CreateProfileRefusal, NewProfile, Profile, UsersPort};
use kernel::UserId;
use platform::failpoint;

use crate::Context;
use crate::app;
use crate::error::UsersError;
use crate::store::users;

pub(crate) struct LocalUsers {
    pub(crate) context: Arc<Context>,
}

fn unavailable<R: std::fmt::Display + std::fmt::Debug>(
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> PortError<R> {
    PortError::unavailable("users", error)
}

#[async_trait]
impl UsersPort for LocalUsers {
    async fn create_profile(&self, new: NewProfile) -> Result<Profile, PortError<CreateProfileRefusal>> {
        failpoint::call("users", "create_profile", async {
            let row =
                app::create_profile::create_profile(&self.context, new).await.map_err(
                    |error| match error {
                        UsersError::Profile(refusal) => PortError::Refused(refusal),
                        other => unavailable(other),
                    },
                )?;
            row.profile().map_err(unavailable)
        })
        .await
    }

    async fn find_by_login(&self, login: &str) -> Result<Option<Profile>, PortError<NoRefusal>> {
        failpoint::call("users", "find_by_login", async {
            let row = app::find_by_login::find_by_login(&self.context, login).await.map_err(unavailable)?;
            row.as_ref().map(users::Model::profile).transpose().map_err(unavailable)
        })
        .await
    }

    async fn profile(&self, id: UserId) -> Result<Option<Profile>, PortError<NoRefusal>> {
        failpoint::call("users", "profile", async {
            let row = self.context.users.get(id).await.map_err(unavailable)?;
            row.as_ref().map(users::Model::profile).transpose().map_err(unavailable)
        })
        .await
    }
}
