//! One use case a file: one transaction, and the events in it.

pub(crate) mod analyse;
pub(crate) mod begin_payment;
pub(crate) mod cancel_order;
pub(crate) mod change_status;
pub(crate) mod expire_unpaid;
pub(crate) mod give_up_payment;
pub(crate) mod import_orders;
pub(crate) mod on_payment_authorized;
pub(crate) mod on_payment_captured;
pub(crate) mod on_payment_failed;
pub(crate) mod on_payment_refunded;
pub(crate) mod on_payment_voided;
mod payment_event;
pub(crate) mod place_order;
pub(crate) mod reactivate_order;
pub(crate) mod recover_placements;
pub(crate) mod transfer_orders;
mod undo;
