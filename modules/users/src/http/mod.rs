//! The routes of `users`: parse, call, map, respond. `auth` serves `/users/register` and `/users/login`.

mod add_address;
mod delete_address;
mod get_me;
mod get_user;
mod list_addresses;
mod list_users;
mod patch_me;
mod patch_user;
mod put_address;
mod transfer;
mod user;

use std::sync::Arc;

use actix_web::web;
use platform::routes::Routes;

use crate::Context;

/// The tag of every operation here.
const TAG: &str = "users";

pub(crate) fn routes(routes: &mut Routes<'_, '_>, context: &Arc<Context>) {
    // Fixed paths come before those with a parameter: actix takes the first that matches.
    routes
        .app_data(web::Data::from(context.clone()))
        .service(transfer::import_users)
        .service(transfer::export_users)
        .service(get_me::get_me)
        .service(patch_me::patch_me)
        .service(list_addresses::list_addresses)
        .service(add_address::add_address)
        .service(put_address::put_address)
        .service(delete_address::delete_address)
        .service(list_users::list_users)
        .service(get_user::get_user)
        .service(patch_user::patch_user);
}
