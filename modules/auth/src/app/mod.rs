//! One use case a file: one transaction, and the events in it.

pub(crate) mod access;
pub(crate) mod announce_ended;
pub(crate) mod attempts;
pub(crate) mod change_password;
pub(crate) mod create_account;
pub(crate) mod create_api_key;
pub(crate) mod end_session;
pub(crate) mod find_api_key;
pub(crate) mod forgot_password;
pub(crate) mod list_keys;
pub(crate) mod login;
pub(crate) mod mail_token;
pub(crate) mod on_user_access_changed;
pub(crate) mod on_user_registered;
pub(crate) mod open_session;
pub(crate) mod purge;
pub(crate) mod refresh;
pub(crate) mod register;
pub(crate) mod replace_password;
pub(crate) mod request_email_verification;
pub(crate) mod reset_password;
pub(crate) mod revoke_api_key;
pub(crate) mod rotate_keys;
pub(crate) mod verify_email;
