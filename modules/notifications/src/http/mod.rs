//! The routes of `notifications`: parse, call, map, respond.

mod create_webhook;
mod delete_webhook;
mod list_deliveries;
mod list_notifications;
mod list_webhooks;
mod replay_delivery;

use std::sync::Arc;

use actix_web::web;
use platform::routes::Routes;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::Context;

/// The tag of every operation here.
const TAG: &str = "notifications";

pub(crate) fn routes(routes: &mut Routes<'_, '_>, context: &Arc<Context>) {
    routes
        .app_data(web::Data::from(context.clone()))
        .service(list_notifications::list_notifications)
        .service(list_webhooks::list_webhooks)
        .service(create_webhook::create_webhook)
        .service(delete_webhook::delete_webhook)
        .service(list_deliveries::list_deliveries)
        .service(replay_delivery::replay_delivery);
}

/// The parameters of every list here.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Items a page, 1 to 100; 20 unless told.
    #[param(minimum = 1, maximum = 100, example = 20)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}
