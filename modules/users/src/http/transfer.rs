use actix_web::{HttpResponse, get, post, web};
use platform::access::Admin;
use platform::csv::{ImportSummary, Upload, respond_export, respond_import};
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::app::transfer_users::TransferUsers;
use crate::http::TAG;

/// Import users from CSV
///
/// Columns: `email`, and optionally `username`, `name`, `role`, `active`. Creates and updates by email; an empty cell
/// leaves what is there. Imported users have no password.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "users:write"])),
    request_body(content = String, content_type = "text/csv", example = "email,name,role\nada@example.com,Ada Lovelace,customer\n"),
    responses(
        (status = 200, body = ImportSummary, description = "What was done; refused lines are listed"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`csv_malformed`"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `users:write`"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "Neither `text/csv` nor a form"),
    ),
)]
#[post("/users/import")]
pub(crate) async fn import_users(
    context: web::Data<Context>,
    Admin(admin): Admin,
    upload: Upload,
) -> Result<HttpResponse, Problem> {
    respond_import(&TransferUsers { context: context.into_inner() }, admin.by(), upload).await
}

/// Export users as CSV
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "users:read"])),
    responses(
        (status = 200, body = String, content_type = "text/csv", example = "email,username,name,role,active\nada@example.com,,Ada Lovelace,customer,true\n"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `users:read`"),
    ),
)]
#[get("/users/export")]
pub(crate) async fn export_users(
    context: web::Data<Context>,
    _admin: Admin,
) -> Result<HttpResponse, Problem> {
    Ok(respond_export(&TransferUsers { context: context.into_inner() }))
}
