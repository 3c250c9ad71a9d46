use actix_web::{HttpResponse, get, post, web};
use platform::access::Admin;
use platform::csv::{ImportSummary, Upload, respond_export, respond_import};
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::app::transfer_orders::TransferOrders;
use crate::http::TAG;

/// Import orders of the past from CSV
///
/// One row a line; rows that follow each other with the same `order_number` are one order. Columns: `order_number`,
/// `placed_at`, `sku`, `quantity`, `unit_price`, `currency`, and optionally `customer`, `country`, `name`, `status`
/// (`delivered` unless told). Such orders keep their own prices, take no stock and need no account. A line that cannot be
/// read refuses its whole order. Importing again updates what differs.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "orders:write"])),
    request_body(
        content = String, content_type = "text/csv",
        example = "order_number,placed_at,customer,country,sku,quantity,unit_price,currency\n536365,2010-12-01T08:26:00Z,customer-17850,United Kingdom,71053,6,3.39,GBP\n"
    ),
    responses(
        (status = 200, body = ImportSummary, description = "What was done, counted in orders; refused ones are listed"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`csv_malformed`"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `orders:write`"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "Neither `text/csv` nor a form"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "The catalogue does not answer"),
    ),
)]
#[post("/orders/import")]
pub(crate) async fn import_orders(
    context: web::Data<Context>,
    Admin(admin): Admin,
    upload: Upload,
) -> Result<HttpResponse, Problem> {
    respond_import(&TransferOrders { context: context.into_inner() }, admin.by(), upload).await
}

/// Export all orders as CSV
///
/// One row a line, oldest order first; the file can be imported again.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "orders:read"])),
    responses(
        (status = 200, body = String, content_type = "text/csv", example = "order_number,placed_at,customer,country,sku,quantity,unit_price,currency,name,status\n536365,2010-12-01T08:26:00.000Z,customer-17850,United Kingdom,71053,6,3.39,GBP,WHITE METAL LANTERN,delivered\n"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `orders:read`"),
    ),
)]
#[get("/orders/export")]
pub(crate) async fn export_orders(
    context: web::Data<Context>,
    _admin: Admin,
) -> Result<HttpResponse, Problem> {
    Ok(respond_export(&TransferOrders { context: context.into_inner() }))
}
