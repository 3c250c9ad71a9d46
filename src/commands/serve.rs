//! `souk serve`.

use std::process::ExitCode;

use platform::module::AnyError;
use platform::system::System;

use crate::server::Application;
use crate::settings::Settings;

/// Serves until the process is told to stop.
pub(crate) async fn serve(settings: &Settings) -> Result<ExitCode, AnyError> {
    let application = Application::build(settings, System::real()).await?;
    let address = application.address();
    tracing::info!(profile = ?settings.profile, "listening on {address}; the API is described at {address}/docs");
    let handle = application.handle();
    tokio::spawn(async move {
        if let Err(error) = stop_signal().await {
            tracing::error!(cause = %error, "signals cannot be watched");
            return;
        }
        tracing::info!("stopping: no new connections; requests in flight are finished");
        handle.stop(true).await;
    });
    application.serve().await?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// SIGTERM or Ctrl-C.
pub(crate) async fn stop_signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
