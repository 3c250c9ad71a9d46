//! Endpoints that stand in the settings.

use sea_orm::DbErr;

use crate::Context;
use crate::app::create_webhook::new_secret;
use crate::domain::endpoint::{EVENTS, parse_url};
use crate::store::webhooks;

/// Adds those that are new and removes those that are gone, with their deliveries; those that stay keep their secret. A URL that is
/// none is an error: the shop must not start and then silently tell nobody.
pub(crate) async fn sync_configured_webhooks(context: &Context) -> Result<(), DbErr> {
    let mut wanted = Vec::new();
    for url in &context.settings.webhook_urls {
        let url =
            parse_url(url).map_err(|error| DbErr::Custom(format!("notifications.webhook_urls: {error}")))?;
        wanted.push(url);
    }
    wanted.sort_unstable();
    wanted.dedup();
    let present = webhooks::all(context.db.reader()).await?;
    let gone: Vec<&webhooks::Model> =
        present.iter().filter(|row| row.configured && !wanted.contains(&row.url)).collect();
    let is_new = |url: &&String| !present.iter().any(|row| row.configured && row.url == **url);
    let fresh: Vec<&String> = wanted.iter().filter(is_new).collect();
    if gone.is_empty() && fresh.is_empty() {
        return Ok(());
    }
    let tx = context.db.begin().await?;
    for row in gone {
        webhooks::delete(tx.conn(), row.id.into()).await?;
    }
    for url in fresh {
        // Another process may have added it since; then it is there, which is all that is wanted.
        let row = webhooks::Model {
            id: context.db.system().id(),
            url: url.clone(),
            events: EVENTS.join(" "),
            secret: new_secret(),
            configured: true,
            created_at_ms: context.db.system().now().ms(),
        };
        webhooks::insert_unless_configured(tx.conn(), row).await?;
    }
    tx.commit().await.map(|_| ())
}
