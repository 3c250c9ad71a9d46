use actix_web::{HttpResponse, get, web};
use contracts::inventory::StockLevel;
use kernel::Sku;
use platform::access::Principal;
use platform::http::{Conditional, ETag, Path};
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::error::InventoryError;
use crate::http::TAG;
use crate::store::stock;

/// The stock of one SKU
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["inventory:read"])),
    params(
        ("sku" = String, Path, description = "The SKU, in either case", example = "MUG-BLUE"),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag` that you have: 304 if it still holds"),
    ),
    responses(
        (status = 200, body = StockLevel, headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "You have it"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `inventory:read`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No stock record of this SKU"),
    ),
)]
#[get("/inventory/{sku}")]
pub(crate) async fn get_stock(
    context: web::Data<Context>,
    _reader: Principal,
    Path(sku): Path<Sku>,
    conditional: Conditional,
) -> Result<HttpResponse, Problem> {
    let row = stock::find(context.db.reader(), &sku).await?.ok_or(InventoryError::NotFound(sku))?;
    Ok(conditional.answer(&ETag::of(row.version), &row.level()?))
}
