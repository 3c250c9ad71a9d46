//! One use case a file: one transaction, and the events in it.

pub(crate) mod access;
pub(crate) mod announce_ended;
pub(crate) mod attempts;
pub(crate) mod begin_totp;
pub(crate) mod change_password;
pub(crate) mod confirm_password;
pub(crate) mod confirm_totp;
pub(crate) mod create_account;
pub(crate) mod end_session;
pub(crate) mod forgot_password;
pub(crate) mod login;
pub(crate) mod mail_token;
pub(crate) mod on_user_access_changed;
pub(crate) mod on_user_registered;
pub(crate) mod open_session;
pub(crate) mod purge;
pub(crate) mod refresh;
pub(crate) mod register;
pub(crate) mod remove_totp;
pub(crate) mod replace_password;
pub(crate) mod request_email_verification;
pub(crate) mod reset_password;
pub(crate) mod second_factor;
pub(crate) mod verify_email;
