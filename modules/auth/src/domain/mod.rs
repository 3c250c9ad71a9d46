//! Rules of accounts and logins; pure.

pub(crate) mod api_key;
pub(crate) mod audit;
pub(crate) mod login_name;
pub(crate) mod password;
pub(crate) mod throttle;
pub(crate) mod totp;
