//! One use case a file: one transaction, and the events in it.

pub(crate) mod add_address;
pub(crate) mod change_access;
pub(crate) mod create_profile;
pub(crate) mod delete_address;
pub(crate) mod find_by_login;
pub(crate) mod replace_address;
pub(crate) mod transfer_users;
pub(crate) mod update_profile;
