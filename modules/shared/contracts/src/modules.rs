//! Which modules there are, whether they run here or elsewhere.

/// Every module with what it does, in one line for whoever asks; in alphabetical order.
pub const MODULES: &[(&str, &str)] = &[
    ("auth", "Registration, login, sessions, and the public keys of access tokens"),
    ("cart", "Carts of customers and guests, and their checkout"),
    ("catalog", "Products, their prices and categories, search, and their import and export"),
    ("inventory", "Stock levels, the movement ledger, and reservations for orders"),
    ("notifications", "Mails about orders and payments, and webhook endpoints"),
    ("orders", "Placing orders, their status and timeline, analytics, and orders of the past"),
    ("payments", "Payments of orders: authorize, capture, void, refund, and the ledger behind them"),
    ("users", "Profiles, roles and address books"),
];

/// What a module does; empty for a name that is none.
pub fn summary_of(module: &str) -> &'static str {
    MODULES.iter().find(|(name, _)| *name == module).map(|(_, summary)| *summary).unwrap_or_default()
}
