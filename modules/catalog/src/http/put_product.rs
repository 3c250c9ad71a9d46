use actix_web::{HttpResponse, put, web};
use platform::access::Admin;
use platform::http::{Conditional, Json, Path};
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::app::replace::replace;
use crate::http::post_product::WriteProduct;
use crate::http::precondition::expected_version;
use crate::http::{TAG, named, shown, to_the_end};
use crate::product::Product;

/// Write a product anew
///
/// Replaces every field of the body; what is left out takes its default. SKU, id, slug and
/// creation time stay.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "catalog:write"])),
    params(
        ("id" = String, Path, description = "Its id, or its SKU in either case", example = "MUG-BLUE"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that you read: 412 if it has changed"),
    ),
    request_body = WriteProduct,
    responses(
        (status = 200, body = Product, headers(("ETag" = String, description = "Its version"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "A field breaks a rule; `errors` names each"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `catalog:write`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such product"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`sku_fixed`: a product keeps its SKU"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json", description = "It has changed since you read it"),
    ),
)]
#[put("/catalog/products/{id}")]
pub(crate) async fn put_product(
    context: web::Data<Context>,
    Admin(admin): Admin,
    Path(path): Path<String>,
    conditional: Conditional,
    Json(body): Json<WriteProduct>,
) -> Result<HttpResponse, Problem> {
    let product = named(&path)?;
    let contents = body.contents(context.settings.currency)?;
    let version = expected_version(&context, &conditional, &product).await?;
    let (context, by) = (context.into_inner(), admin.by());
    let at_work = context.clone();
    let done = to_the_end(&context, async move { replace(&at_work, &product, version, by, &contents).await })
        .await?;
    Ok(shown(&done))
}
