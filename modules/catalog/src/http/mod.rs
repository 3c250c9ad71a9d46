//! The routes of `catalog`: parse, call, map, respond.

mod delete_product;
mod get_product;
mod list_categories;
mod list_products;
mod patch_product;
mod patch_stock;
mod post_product;
mod precondition;
mod put_product;
mod transfer;

use std::future::Future;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpResponse, web};
use contracts::catalog::ProductRef;
use platform::http::ETag;
use platform::problem::Problem;
use platform::routes::Routes;

use crate::Context;
use crate::error::CatalogError;
use crate::product::{Versioned, reference};

/// The tag of every operation here.
const TAG: &str = "catalog";

pub(crate) fn routes(routes: &mut Routes<'_, '_>, context: &Arc<Context>) {
    // Fixed paths come before those with a parameter: actix takes the first that matches. Of the latter, which it finds by an expression each,
    // the one that is asked for most comes first.
    routes
        .app_data(web::Data::from(context.clone()))
        .service(transfer::import_products)
        .service(transfer::export_products)
        .service(list_categories::list_categories)
        .service(list_products::list_products)
        .service(post_product::post_product)
        .service(get_product::get_product)
        .service(patch_stock::patch_product_stock)
        .service(put_product::put_product)
        .service(patch_product::patch_product)
        .service(delete_product::delete_product);
}

/// The product that a path names; what cannot name one is not there.
fn named(path: &str) -> Result<ProductRef, Problem> {
    reference(path).ok_or_else(|| CatalogError::NotFound.into())
}

/// Runs a change to its end, even if the client goes away meanwhile.
async fn to_the_end<T: Send + 'static>(
    context: &Context,
    change: impl Future<Output = Result<T, CatalogError>> + Send + 'static,
) -> Result<T, Problem> {
    match context.db.system().to_the_end(change).await {
        Ok(outcome) => outcome.map_err(Problem::from),
        Err(panicked) => Err(Problem::internal(&panicked)),
    }
}

/// 200 with a product and its tag.
fn shown(current: &Versioned) -> HttpResponse {
    HttpResponse::build(StatusCode::OK)
        .insert_header((header::ETAG, ETag::of(current.version).as_str()))
        .json(&current.product)
}
