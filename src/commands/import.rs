//! `souk import`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use contracts::audit::By;
use indicatif::{ProgressBar, ProgressStyle};
use platform::csv::{ImportSummary, Source, Transfer};
use platform::module::AnyError;

use crate::commands::{close_shop, open_shop, say};
use crate::settings::Settings;
use crate::wiring::Shop;

/// The exit code is 1 if a record was refused, so that a script notices.
pub(crate) async fn import(settings: &Settings, resource: &str, file: &Path) -> Result<ExitCode, AnyError> {
    let (shop, databases) = open_shop(settings).await?;
    let transfer = transfer_of(&shop, resource)?;
    let bar = ProgressBar::no_length();
    let source: Source<'static> = if file == Path::new("-") {
        Box::pin(bar.wrap_async_read(tokio::io::stdin()))
    } else {
        let opened =
            tokio::fs::File::open(file).await.map_err(|error| format!("{}: {error}", file.display()))?;
        bar.set_length(opened.metadata().await?.len());
        Box::pin(bar.wrap_async_read(opened))
    };
    // Drawn on a terminal only.
    bar.set_style(ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {msg}")?);
    let summary =
        transfer.import(source, By::Operator, &|rows| bar.set_message(format!("{rows} rows"))).await;
    bar.finish_and_clear();
    let summary = summary?;
    close_shop(shop, databases).await?;
    report(resource, &summary)?;
    Ok(if summary.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The table of a name, in whatever module has it.
pub(crate) fn transfer_of(shop: &Shop, resource: &str) -> Result<Arc<dyn Transfer>, AnyError> {
    shop.modules
        .iter()
        .flat_map(|module| module.transfers())
        .find(|transfer| transfer.resource() == resource)
        .ok_or_else(|| format!("the module of {resource} is not in this binary").into())
}

fn report(resource: &str, summary: &ImportSummary) -> std::io::Result<()> {
    say(&format!(
        "{resource}: {} rows read, {} created, {} updated, {} unchanged, {} refused",
        summary.rows_read, summary.created, summary.updated, summary.unchanged, summary.refused
    ))?;
    for refusal in &summary.refusals {
        say(&format!("  line {}: {}: {}", refusal.line, refusal.record, refusal.reason))?;
    }
    let listed = u64::try_from(summary.refusals.len()).unwrap_or(u64::MAX);
    if summary.refused > listed {
        say(&format!("  and {} more", summary.refused - listed))?;
    }
    Ok(())
}
