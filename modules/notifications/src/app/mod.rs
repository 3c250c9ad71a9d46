//! One use case or event handler a file.

pub(crate) mod create_webhook;
pub(crate) mod delete_webhook;
pub(crate) mod on_email_verification_requested;
pub(crate) mod on_order_created;
pub(crate) mod on_order_status_changed;
pub(crate) mod on_order_updated;
pub(crate) mod on_password_changed;
pub(crate) mod on_password_reset_requested;
pub(crate) mod on_payment_captured;
pub(crate) mod on_payment_refunded;
pub(crate) mod on_second_factor_removed;
pub(crate) mod on_user_registered;
pub(crate) mod record;
pub(crate) mod replay_delivery;
pub(crate) mod send;
pub(crate) mod sync_configured_webhooks;
