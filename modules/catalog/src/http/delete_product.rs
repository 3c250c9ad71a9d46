use actix_web::{HttpResponse, delete, web};
use platform::access::Admin;
use platform::http::{Conditional, Path, no_content};
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::app::retire::retire;
use crate::http::precondition::expected_version;
use crate::http::{TAG, named, to_the_end};

/// Retire a product
///
/// It leaves the lists and cannot be bought any more; orders keep their lines, and it can still be read by id or SKU.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "catalog:write"])),
    params(
        ("id" = String, Path, description = "Its id, or its SKU in either case", example = "MUG-BLUE"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that you read: 412 if it has changed"),
    ),
    responses(
        (status = 204, description = "It is retired, now or since before"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `catalog:write`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such product"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json", description = "It has changed since you read it"),
    ),
)]
#[delete("/catalog/products/{id}")]
pub(crate) async fn delete_product(
    context: web::Data<Context>,
    Admin(admin): Admin,
    Path(path): Path<String>,
    conditional: Conditional,
) -> Result<HttpResponse, Problem> {
    let product = named(&path)?;
    let version = expected_version(&context, &conditional, &product).await?;
    let (context, by) = (context.into_inner(), admin.by());
    let at_work = context.clone();
    to_the_end(&context, async move { retire(&at_work, &product, version, by).await }).await?;
    Ok(no_content())
}
