//! `souk export`.

use std::path::Path;
use std::process::ExitCode;

use futures_util::StreamExt;
use platform::module::AnyError;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::commands::import::transfer_of;
use crate::commands::{close_shop, open_shop};
use crate::settings::Settings;

pub(crate) async fn export(settings: &Settings, resource: &str, file: &Path) -> Result<ExitCode, AnyError> {
    let (shop, databases) = open_shop(settings).await?;
    let transfer = transfer_of(&shop, resource)?;
    let mut sink: Box<dyn AsyncWrite + Unpin> = if file == Path::new("-") {
        Box::new(tokio::io::stdout())
    } else {
        Box::new(tokio::fs::File::create(file).await.map_err(|error| format!("{}: {error}", file.display()))?)
    };
    let mut text = platform::csv::text(transfer.as_ref());
    while let Some(chunk) = text.next().await {
        sink.write_all(&chunk?).await?;
    }
    sink.flush().await?;
    drop(text);
    close_shop(shop, databases).await?;
    Ok(ExitCode::SUCCESS)
}
