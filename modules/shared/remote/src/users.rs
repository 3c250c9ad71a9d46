//! The port of `users`, far away.

use std::sync::Arc;

use actix_web::web;
use async_trait::async_trait;
use contracts::port::{NoRefusal, PortError};
use contracts::users::{CreateProfileRefusal, NewProfile, Profile, UsersPort};
use kernel::UserId;
use serde::{Deserialize, Serialize};

use crate::operation::Operation;
use crate::peer::Peer;
use crate::routes::Routes;

#[derive(Debug, Serialize, Deserialize)]
struct FindByLogin {
    login: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct ById {
    id: UserId,
}

/// The id in the request makes a second one the same.
const CREATE_PROFILE: Operation<NewProfile, Profile, CreateProfileRefusal> =
    Operation::idempotent("users", "create_profile");
/// A read.
const FIND_BY_LOGIN: Operation<FindByLogin, Option<Profile>, NoRefusal> =
    Operation::idempotent("users", "find_by_login");
/// A read.
const PROFILE: Operation<ById, Option<Profile>, NoRefusal> = Operation::idempotent("users", "profile");

struct RemoteUsers(Peer);

/// The port, asked over HTTP.
pub fn client(peer: Peer) -> Arc<dyn UsersPort> {
    Arc::new(RemoteUsers(peer))
}

#[async_trait]
impl UsersPort for RemoteUsers {
    async fn create_profile(&self, new: NewProfile) -> Result<Profile, PortError<CreateProfileRefusal>> {
        self.0.call(&CREATE_PROFILE, &new).await
    }

    async fn find_by_login(&self, login: &str) -> Result<Option<Profile>, PortError<NoRefusal>> {
        self.0.call(&FIND_BY_LOGIN, &FindByLogin { login: login.to_owned() }).await
    }

    async fn profile(&self, id: UserId) -> Result<Option<Profile>, PortError<NoRefusal>> {
        self.0.call(&PROFILE, &ById { id }).await
    }
}

/// The internal routes of the port.
pub fn routes(config: &mut web::ServiceConfig, port: Arc<dyn UsersPort>) {
    Routes::new(config, port)
        .serve(CREATE_PROFILE, |users, new| async move { users.create_profile(new).await })
        .serve(FIND_BY_LOGIN, |users, asked| async move { users.find_by_login(&asked.login).await })
        .serve(PROFILE, |users, asked| async move { users.profile(asked.id).await });
}
