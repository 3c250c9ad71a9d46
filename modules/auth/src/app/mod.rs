//! One use case a file: one transaction, and the events in it.

pub(crate) mod access;
pub(crate) mod create_account;
pub(crate) mod create_api_key;
pub(crate) mod end_session;
pub(crate) mod find_api_key;
pub(crate) mod list_keys;
pub(crate) mod login;
pub(crate) mod on_user_access_changed;
pub(crate) mod open_session;
pub(crate) mod purge;
pub(crate) mod refresh;
pub(crate) mod register;
pub(crate) mod revoke_api_key;
pub(crate) mod rotate_keys;
