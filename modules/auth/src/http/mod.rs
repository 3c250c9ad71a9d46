//! The routes of `auth`: parse, call, map, respond.
//!
//! `Idempotency-Key` is accepted on these POSTs and changes nothing. A registration is keyed by its email address: the
//! second one is told that it is taken, and logs in. Storing the answer for a replay would put tokens, which are
//! secrets, into the database.

mod create_api_key;
mod delete_api_key;
mod jwks;
mod list_api_keys;
mod login;
mod logout;
mod refresh;
mod register;
mod tokens;
mod verify;

use std::sync::Arc;

use actix_web::web;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::Context;

/// The tag of every operation here.
const TAG: &str = "auth";

pub(crate) fn routes(config: &mut ServiceConfig<'_>, context: &Arc<Context>) {
    config
        .app_data(web::Data::from(context.clone()))
        .service(register::register)
        .service(register::register_user)
        .service(login::login)
        .service(login::login_user)
        .service(refresh::refresh)
        .service(logout::logout)
        .service(verify::verify)
        .service(create_api_key::create_api_key)
        .service(list_api_keys::list_api_keys)
        .service(delete_api_key::delete_api_key)
        .service(jwks::jwks);
}
