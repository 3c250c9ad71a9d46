use actix_web::http::StatusCode;
use actix_web::{HttpResponse, patch, web};
use contracts::inventory::StockLevel;
use platform::access::Admin;
use platform::http::{IdempotencyKey, Json, Path};
use platform::problem::{Problem, ProblemBody};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Context;
use crate::app::adjust_stock::{ROUTE_PREFIX, StockChange, adjust_stock};
use crate::http::{TAG, named, to_the_end};

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct PatchProductStock {
    /// Pieces that come (positive) or go (negative); not zero.
    #[schema(example = -2, minimum = -1000000000, maximum = 1000000000)]
    change: i64,
    /// Why, 1 to 200 characters.
    #[serde(default)]
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        example = "broken in transit"
    )]
    reason: Option<String>,
}

/// Add pieces of a product, or take some away
///
/// The same as `PATCH /inventory/{sku}`. A product without a stock record gets one.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "catalog:write"])),
    params(
        ("id" = String, Path, description = "The product's id, or its SKU in either case", example = "MUG-BLUE"),
        ("Idempotency-Key" = Option<String>, Header, description = "A key of your own making: the same request again changes nothing more"),
    ),
    request_body = PatchProductStock,
    responses(
        (status = 200, body = StockLevel, headers(("Idempotency-Replayed" = Option<String>, description = "`true` if an earlier request did it"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "A change of zero, or a wrong reason"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `catalog:write`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such product"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`insufficient_stock`: orders hold the rest"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "This key came with another body"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "Inventory does not answer; try again with the same key"),
    ),
)]
#[patch("/catalog/products/{id}/stock")]
pub(crate) async fn patch_product_stock(
    context: web::Data<Context>,
    Admin(admin): Admin,
    Path(path): Path<String>,
    key: IdempotencyKey,
    Json(body): Json<PatchProductStock>,
) -> Result<HttpResponse, Problem> {
    let product = named(&path)?;
    let request = key.covering(&admin.scope(), &format!("{ROUTE_PREFIX}{product}/stock"), &body);
    let wanted = StockChange { product, change: body.change, reason: body.reason, by: admin.by() };
    let context = context.into_inner();
    let at_work = context.clone();
    let answer = to_the_end(&context, async move { adjust_stock(&at_work, request, wanted).await }).await?;
    Ok(answer.respond(StatusCode::OK))
}
