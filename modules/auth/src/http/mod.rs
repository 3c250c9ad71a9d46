//! The routes of `auth`: parse, call, map, respond.
//!
//! `Idempotency-Key` is accepted on these POSTs and changes nothing. A registration is keyed by its email address: the
//! second one is told that it is taken, and logs in. Storing the answer for a replay would put tokens, which are
//! secrets, into the database.

mod begin_totp;
mod change_password;
mod confirm_totp;
mod create_api_key;
mod delete_api_key;
mod device;
mod end_session;
mod forgot_password;
mod get_account;
mod jwks;
mod list_api_keys;
mod list_audit;
mod list_sessions;
mod login;
mod logout;
mod refresh;
mod register;
mod remove_totp;
mod request_email_verification;
mod reset_password;
mod tokens;
mod verify;
mod verify_email;

use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use platform::routes::Routes;

use crate::Context;

/// The tag of every operation here.
const TAG: &str = "auth";
/// How long an answer waits for the other modules to hear that a session has ended.
const SETTLE: Duration = Duration::from_millis(500);

pub(crate) fn routes(routes: &mut Routes<'_, '_>, context: &Arc<Context>) {
    routes
        .app_data(web::Data::from(context.clone()))
        .service(register::register)
        .service(register::register_user)
        .service(login::login)
        .service(login::login_user)
        .service(refresh::refresh)
        .service(logout::logout)
        .service(verify::verify)
        .service(list_sessions::list_sessions)
        .service(end_session::end_session)
        .service(change_password::change_password)
        .service(forgot_password::forgot_password)
        .service(reset_password::reset_password)
        .service(verify_email::verify_email)
        .service(request_email_verification::request_email_verification)
        .service(get_account::get_account)
        .service(create_api_key::create_api_key)
        .service(list_api_keys::list_api_keys)
        .service(list_audit::list_audit)
        .service(delete_api_key::delete_api_key)
        .service(begin_totp::begin_totp)
        .service(confirm_totp::confirm_totp)
        .service(remove_totp::remove_totp)
        .service(jwks::jwks);
}
