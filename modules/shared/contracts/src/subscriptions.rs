//! Which module reacts to which event of which other module.
//!
//! Whoever publishes must know this: a broker keeps an event for a subscriber only if the subscriber's queue exists, so
//! every publisher sees to all queues before it publishes, and nothing is lost of what happened before a subscriber ran for
//! the first time. Handlers that every process has for its own memory are not in it: they have nothing to catch up on.
//!
//! It is written by hand because a process may run one module and know the handlers of that one only. A test compares it
//! with the handlers of the whole shop.

use crate::auth::{
    ApiKeyRevoked, EmailVerificationRequested, PasswordChanged, PasswordResetRequested, SecondFactorRemoved,
    SessionEnded, SigningKeysChanged, UserSessionsEnded,
};
use crate::catalog::{PriceChanged, ProductChanged, ProductsImported};
use crate::event::Event;
use crate::inventory::{StockAdjusted, StockRanLow};
use crate::orders::{OrderCreated, OrderStatusChanged, OrderUpdated};
use crate::payments::{
    MoneyMoveRequested, PaymentAuthorized, PaymentCaptured, PaymentFailed, PaymentRefunded, PaymentVoided,
};
use crate::users::{UserAccessChanged, UserRegistered};

/// The way of one type of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// [`Event::TYPE`].
    pub event_type: &'static str,
    /// The module that publishes it.
    pub from: &'static str,
    /// The modules that handle it, in alphabetical order.
    pub to: &'static [&'static str],
}

const fn route<E: Event>(from: &'static str, to: &'static [&'static str]) -> Route {
    Route { event_type: E::TYPE, from, to }
}

/// Every type of event.
pub const ROUTES: &[Route] = &[
    route::<ApiKeyRevoked>("auth", &[]),
    route::<EmailVerificationRequested>("auth", &["notifications"]),
    route::<PasswordChanged>("auth", &["notifications"]),
    route::<PasswordResetRequested>("auth", &["notifications"]),
    route::<SecondFactorRemoved>("auth", &["notifications"]),
    route::<SessionEnded>("auth", &[]),
    route::<SigningKeysChanged>("auth", &[]),
    route::<UserSessionsEnded>("auth", &[]),
    route::<PriceChanged>("catalog", &["auth"]),
    route::<ProductChanged>("catalog", &[]),
    route::<ProductsImported>("catalog", &["auth"]),
    route::<StockAdjusted>("inventory", &["auth"]),
    route::<StockRanLow>("inventory", &[]),
    route::<OrderCreated>("orders", &["cart", "notifications"]),
    route::<OrderStatusChanged>("orders", &["inventory", "notifications", "payments"]),
    route::<OrderUpdated>("orders", &["notifications"]),
    route::<MoneyMoveRequested>("payments", &["auth"]),
    route::<PaymentAuthorized>("payments", &["orders"]),
    route::<PaymentCaptured>("payments", &["notifications", "orders"]),
    route::<PaymentFailed>("payments", &["orders"]),
    route::<PaymentRefunded>("payments", &["notifications", "orders"]),
    route::<PaymentVoided>("payments", &["orders"]),
    route::<UserAccessChanged>("users", &["auth"]),
    route::<UserRegistered>("users", &["auth", "notifications"]),
];

/// Who subscribes to what: [`ROUTES`], or those of a test.
#[derive(Debug, Clone, Copy)]
pub struct Subscriptions(pub &'static [Route]);

impl Default for Subscriptions {
    fn default() -> Self {
        Self(ROUTES)
    }
}

impl Subscriptions {
    /// The modules that handle a type of event; none for an unknown one.
    pub fn subscribers_of(self, event_type: &str) -> &'static [&'static str] {
        self.route(event_type).map(|route| route.to).unwrap_or_default()
    }

    /// The module that publishes a type of event.
    pub fn publisher_of(self, event_type: &str) -> Option<&'static str> {
        self.route(event_type).map(|route| route.from)
    }

    /// The types of event that a module handles.
    pub fn types_for(self, module: &str) -> impl Iterator<Item = &'static str> {
        self.0.iter().filter(move |route| route.to.contains(&module)).map(|route| route.event_type)
    }

    /// Every module that handles something, in alphabetical order.
    pub fn subscribers(self) -> std::collections::BTreeSet<&'static str> {
        self.0.iter().flat_map(|route| route.to).copied().collect()
    }

    fn route(self, event_type: &str) -> Option<&'static Route> {
        self.0.iter().find(|route| route.event_type == event_type)
    }
}
