//! The routes of `orders`: parse, call, map, respond.

mod cancel_order;
mod get_analytics;
mod get_order;
mod get_timeline;
mod list_orders;
mod list_orders_of_user;
mod patch_status;
mod place_order;
mod transfer;

use std::sync::Arc;

use actix_web::web;
use contracts::orders::Order;
use kernel::Page;
use platform::routes::Routes;

use crate::Context;
use crate::error::OrdersError;
use crate::store::{lines, orders};

/// The tag of every operation here.
const TAG: &str = "orders";

pub(crate) fn routes(routes: &mut Routes<'_, '_>, context: &Arc<Context>) {
    // Fixed paths come before those with a parameter: actix takes the first that matches.
    routes
        .app_data(web::Data::from(context.clone()))
        .service(transfer::import_orders)
        .service(transfer::export_orders)
        .service(get_analytics::get_analytics)
        .service(place_order::place_order)
        .service(list_orders::list_orders)
        .service(list_orders_of_user::list_orders_of_user)
        .service(get_timeline::get_timeline)
        .service(cancel_order::cancel_order)
        .service(patch_status::patch_status)
        .service(get_order::get_order);
}

/// A page with the lines of all its orders, which are read in one query.
async fn with_lines(context: &Context, page: Page<orders::Model>) -> Result<Page<Order>, OrdersError> {
    let mut lines = lines::of_all(context.db.reader(), page.items.iter().map(|row| row.id)).await?;
    let items = page.items.iter().map(|row| row.order(&lines.remove(&row.id).unwrap_or_default()));
    Ok(Page { items: items.collect::<Result<_, _>>()?, next_cursor: page.next_cursor })
}
