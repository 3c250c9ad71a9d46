//! The demo shop: three accounts and a few dozen goods, loaded through the same doors as any import.

use contracts::users::Role;
use futures_util::StreamExt;
use kernel::EmailAddress;
use platform::module::AnyError;

use crate::wiring::{NewAccount, Shop};

const PRODUCTS: &str = include_str!("demo/products.csv");

/// Email, username, password, role.
const ACCOUNTS: &[(&str, Option<&str>, &str, Role)] = &[
    ("admin@example.com", Some("admin"), "password", Role::Admin),
    ("admin@test.com", None, "password123", Role::Admin),
    ("demo@test.com", None, "password123", Role::Customer),
];

/// What was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loaded {
    pub accounts: u64,
    pub products: u64,
}

/// Whether nobody has an account and nothing is for sale yet.
pub async fn is_empty(shop: &Shop) -> Result<bool, AnyError> {
    for transfer in shop.modules.iter().flat_map(|module| module.transfers()) {
        if ["products", "users"].contains(&transfer.resource())
            && transfer.export().next().await.transpose()?.is_some()
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Loads what is missing; what is there stays as it is.
pub async fn load(shop: &Shop) -> Result<Loaded, AnyError> {
    let mut loaded = Loaded::default();
    let accounts = ACCOUNTS.iter().map(|(email, username, password, role)| async move {
        shop.create_account(NewAccount {
            email: EmailAddress::parse(email)?,
            username: username.map(str::to_owned),
            name: None,
            password: (*password).to_owned(),
            role: *role,
        })
        .await
    });
    for created in futures_util::future::try_join_all(accounts).await? {
        loaded.accounts += u64::from(created);
    }
    for transfer in shop.modules.iter().flat_map(|module| module.transfers()) {
        if transfer.resource() == "products" {
            loaded.products = transfer.import(Box::pin(PRODUCTS.as_bytes()), &|_| {}).await?.created;
        }
    }
    tracing::info!(loaded.accounts, loaded.products, "loaded the demo shop");
    Ok(loaded)
}
