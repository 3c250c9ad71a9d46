use actix_web::{HttpResponse, get, web};
use platform::http::{Conditional, ETag, Path};
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::app::read::read;
use crate::error::CatalogError;
use crate::http::{TAG, named};
use crate::product::Product;

/// One product, by id or SKU
///
/// Retired products are shown too, with `active` false.
#[utoipa::path(
    tag = TAG,
    security(()),
    params(
        ("id" = String, Path, description = "Its id, or its SKU in either case", example = "MUG-BLUE"),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag` that you have: 304 if it still holds"),
    ),
    responses(
        (status = 200, body = Product, headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "You have it"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such product"),
    ),
)]
#[get("/catalog/products/{id}")]
pub(crate) async fn get_product(
    context: web::Data<Context>,
    Path(path): Path<String>,
    conditional: Conditional,
) -> Result<HttpResponse, Problem> {
    let current = read(&context, &named(&path)?).await?;
    let json = current.json().map_err(CatalogError::from)?;
    Ok(conditional.answer_json(&ETag::of(current.version), json))
}
