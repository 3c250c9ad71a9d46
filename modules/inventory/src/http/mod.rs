//! The routes of `inventory`: parse, call, map, respond.

mod get_stock;
mod list_movements;
mod list_stock;
mod patch_stock;
mod put_stock;
mod transfer;

use std::sync::Arc;

use actix_web::web;
use kernel::Sku;
use platform::http::{Conditional, ETag};
use platform::problem::Problem;
use platform::routes::Routes;

use crate::Context;
use crate::store::stock;

/// The tag of every operation here.
const TAG: &str = "inventory";

pub(crate) fn routes(routes: &mut Routes<'_, '_>, context: &Arc<Context>) {
    // Fixed paths come before those with a parameter: actix takes the first that matches.
    routes
        .app_data(web::Data::from(context.clone()))
        .service(transfer::import_stock)
        .service(transfer::export_stock)
        .service(list_stock::list_stock)
        .service(list_movements::list_movements)
        .service(get_stock::get_stock)
        .service(put_stock::put_stock)
        .service(patch_stock::patch_stock);
}

/// The version that `If-Match` demands. It is checked twice: here against the tag, and again in the transaction.
async fn expected_version(
    context: &Context,
    conditional: &Conditional,
    sku: &Sku,
) -> Result<Option<i64>, Problem> {
    if !conditional.has_if_match() {
        return Ok(None);
    }
    let version = stock::find(context.db.reader(), sku).await?.map_or(0, |row| row.version);
    conditional.check(&ETag::of(version))?;
    Ok(Some(version))
}
