use actix_web::{HttpResponse, get, post, web};
use platform::access::Admin;
use platform::csv::{ImportSummary, Upload, respond_export, respond_import};
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::app::transfer_stock::TransferStock;
use crate::http::TAG;

/// Import stock levels from CSV
///
/// Columns: `sku`, `on_hand`, and optionally `low_stock_threshold`. Sets each SKU as `PUT /inventory/{sku}` does.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "inventory:write"])),
    request_body(content = String, content_type = "text/csv", example = "sku,on_hand\nMUG-BLUE,40\n"),
    responses(
        (status = 200, body = ImportSummary, description = "What was done; refused lines are listed"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`csv_malformed`"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `inventory:write`"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "Neither `text/csv` nor a form"),
    ),
)]
#[post("/inventory/import")]
pub(crate) async fn import_stock(
    context: web::Data<Context>,
    Admin(admin): Admin,
    upload: Upload,
) -> Result<HttpResponse, Problem> {
    respond_import(&TransferStock { context: context.into_inner() }, admin.by(), upload).await
}

/// Export stock levels as CSV
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "inventory:read"])),
    responses(
        (status = 200, body = String, content_type = "text/csv", example = "sku,on_hand,low_stock_threshold\nMUG-BLUE,40,5\n"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `inventory:read`"),
    ),
)]
#[get("/inventory/export")]
pub(crate) async fn export_stock(
    context: web::Data<Context>,
    _admin: Admin,
) -> Result<HttpResponse, Problem> {
    Ok(respond_export(&TransferStock { context: context.into_inner() }))
}
