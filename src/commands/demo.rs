//! `souk demo`.

use std::process::ExitCode;

use platform::module::AnyError;

use crate::commands::{close_shop, complain, open_shop, say};
use crate::settings::{Profile, Settings};

pub(crate) async fn demo(settings: &Settings) -> Result<ExitCode, AnyError> {
    if settings.profile == Profile::Production {
        complain("souk: the production profile refuses demo data, whose passwords everyone knows");
        return Ok(ExitCode::FAILURE);
    }
    let (shop, databases) = open_shop(settings).await?;
    let loaded = crate::demo::load(&shop).await?;
    close_shop(shop, databases).await?;
    say(&format!("loaded {} accounts and {} products", loaded.accounts, loaded.products))?;
    Ok(ExitCode::SUCCESS)
}
