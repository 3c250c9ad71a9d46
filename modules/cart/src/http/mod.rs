//! The routes of `cart`: parse, call, map, respond.

mod answer;
mod caller;
mod checkout;
mod clear_cart;
mod get_cart;
mod if_match;
mod merge;
mod put_item;
mod remove_item;

use std::sync::Arc;

use actix_web::web;
use platform::routes::Routes;

use crate::Context;

/// The tag of every operation here.
const TAG: &str = "cart";

pub(crate) fn routes(routes: &mut Routes<'_, '_>, context: &Arc<Context>) {
    // Fixed paths come before those with a parameter: actix takes the first that matches.
    routes
        .app_data(web::Data::from(context.clone()))
        .service(checkout::checkout_cart)
        .service(merge::merge_cart)
        .service(get_cart::get_cart)
        .service(clear_cart::clear_cart)
        .service(put_item::put_cart_item)
        .service(remove_item::remove_cart_item);
}
