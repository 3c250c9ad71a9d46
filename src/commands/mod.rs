//! One command a file.

pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod doctor_watch;
pub(crate) mod events;
pub(crate) mod export;
pub(crate) mod health;
pub(crate) mod import;
pub(crate) mod keys;
pub(crate) mod migrate;
pub(crate) mod openapi;
pub(crate) mod serve;
pub(crate) mod user;

use std::io::Write;

use platform::module::AnyError;
use platform::system::System;

use crate::server::prepare_schemas;
use crate::settings::Settings;
use crate::wiring::{Databases, Shop};

/// Writes a line to standard output; a closed pipe is an error, not a panic.
pub(crate) fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}

/// Writes a line to standard error. If even that is closed there is nobody left to tell.
pub(crate) fn complain(line: &str) {
    let _closed = writeln!(std::io::stderr(), "{line}");
}

/// A shop without a server, for commands that work on its data. It may run beside a live one.
pub(crate) async fn open_shop(settings: &Settings) -> Result<(Shop, Databases), AnyError> {
    let system = System::real();
    let databases = Databases::open(settings, &system).await?;
    prepare_schemas(settings, &databases).await?;
    let shop = Shop::assemble(settings, &databases, system).await?;
    Ok((shop, databases))
}

/// Ends work and closes the databases.
pub(crate) async fn close_shop(shop: Shop, databases: Databases) -> Result<(), AnyError> {
    shop.system.drain().await;
    for db in databases.iter() {
        db.close().await?;
    }
    Ok(())
}
