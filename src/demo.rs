//! The demo shop: three accounts and a few dozen goods, loaded through the same doors as any import.

use contracts::audit::By;
use contracts::users::Role;
use futures_util::StreamExt;
use kernel::{EmailAddress, Sku};
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

/// The file of the demo goods without those that are there; `None` if none is missing. Importing is an upsert, which would undo what
/// the shopkeeper has changed since.
async fn missing_products(shop: &Shop) -> Result<Option<String>, AnyError> {
    let (header, rows) = PRODUCTS.split_once('\n').unwrap_or((PRODUCTS, ""));
    let sku_of = |row: &str| Sku::parse(row.split(',').next().unwrap_or_default());
    let skus: Vec<Sku> = rows.lines().map(sku_of).collect::<Result<_, _>>()?;
    let known = shop.products(&skus).await?;
    let missing: Vec<&str> = std::iter::zip(&skus, rows.lines())
        .filter(|(sku, _)| !known.iter().any(|product| product.sku == **sku))
        .map(|(_, row)| row)
        .collect();
    Ok((!missing.is_empty()).then(|| format!("{header}\n{}\n", missing.join("\n"))))
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
    let missing = missing_products(shop).await?;
    for transfer in shop.modules.iter().flat_map(|module| module.transfers()) {
        if transfer.resource() == "products" && missing.is_some() {
            let file = missing.clone().unwrap_or_default();
            loaded.products =
                transfer.import(Box::pin(std::io::Cursor::new(file)), By::Operator, &|_| {}).await?.created;
        }
    }
    tracing::info!(loaded.accounts, loaded.products, "loaded the demo shop");
    Ok(loaded)
}
