//! Tables and their named queries. Queries run on the connection they are given and never commit.

pub(crate) mod api_keys;
pub(crate) mod audit_log;
pub(crate) mod credentials;
pub(crate) mod known_clients;
pub(crate) mod login_failures;
pub(crate) mod mailed_tokens;
pub(crate) mod recovery_codes;
pub(crate) mod second_factors;
pub(crate) mod sessions;
pub(crate) mod signing_keys;
pub(crate) mod spent_refresh_tokens;
pub(crate) mod user_revocations;
pub(crate) mod verified_emails;
