use actix_web::{HttpResponse, get, post, web};
use platform::access::Admin;
use platform::csv::{ImportSummary, Upload, respond_export, respond_import};
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::app::transfer_products::TransferProducts;
use crate::error::inventory_is_silent;
use crate::http::TAG;

/// Import products from CSV
///
/// Columns: `sku`, `name`, `category`, `price` (decimal), and optionally `currency`, `description`, `image_url`, `active`,
/// `attributes` (JSON) and `stock`. A line creates the product of its SKU or brings it up to date; an optional cell that is
/// empty leaves what is there, and of two lines with one SKU the later one holds. `stock` is the opening stock: a SKU that
/// has a stock record keeps it, so importing a file again undoes no sale.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "catalog:write"])),
    request_body(content = String, content_type = "text/csv", example = "sku,name,category,price,stock\nMUG-BLUE,Blue mug,Kitchen,9.99,40\n"),
    responses(
        (status = 200, body = ImportSummary, description = "What was done; refused lines are listed"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`csv_malformed`"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `catalog:write`"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "Neither `text/csv` nor a form"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "Inventory does not take the opening stock; import the file again later"),
    ),
)]
#[post("/catalog/import")]
pub(crate) async fn import_products(
    context: web::Data<Context>,
    Admin(admin): Admin,
    upload: Upload,
) -> Result<HttpResponse, Problem> {
    respond_import(&TransferProducts { context: context.into_inner() }, admin.by(), upload).await
}

/// Export products as CSV
///
/// Retired ones too, with the pieces in the house as `stock`. The file can be imported again.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "catalog:read"])),
    responses(
        (status = 200, body = String, content_type = "text/csv", example = "sku,name,category,price,currency,description,image_url,active,attributes,stock\nMUG-BLUE,Blue mug,Kitchen,9.99,GBP,,,true,{},40\n"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `catalog:read`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "Inventory does not answer"),
    ),
)]
#[get("/catalog/export")]
pub(crate) async fn export_products(
    context: web::Data<Context>,
    _admin: Admin,
) -> Result<HttpResponse, Problem> {
    // A stream that has begun can only break off, so whether inventory answers is asked before.
    context.inventory.levels(&[]).await.map_err(inventory_is_silent)?;
    Ok(respond_export(&TransferProducts { context: context.into_inner() }))
}
