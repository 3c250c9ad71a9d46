//! The routes of `payments`: parse, call, map, respond.

mod capture_payment;
mod create_payment;
mod get_payment;
mod list_payments;
mod optional_body;
mod receive_webhook;
mod refund_payment;
mod respond;
mod void_payment;

use std::sync::Arc;

use actix_web::web;
use contracts::users::Role;
use platform::access::Principal;
use platform::routes::Routes;

use crate::Context;
use crate::store::payments::Scope;

/// The tag of every operation here.
const TAG: &str = "payments";

pub(crate) fn routes(routes: &mut Routes<'_, '_>, context: &Arc<Context>) {
    // Fixed paths come before those with a parameter: actix takes the first that matches.
    routes
        .app_data(web::Data::from(context.clone()))
        .service(receive_webhook::receive_webhook)
        .service(create_payment::create_payment)
        .service(list_payments::list_payments)
        .service(capture_payment::capture_payment)
        .service(void_payment::void_payment)
        .service(refund_payment::refund_payment)
        .service(get_payment::get_payment);
}

/// What a caller may see: an admin everything, a customer their own.
fn scope_of(reader: &Principal) -> Scope {
    match reader.role {
        Role::Admin => Scope::All,
        Role::Customer => Scope::Of(reader.user_id),
    }
}
