use actix_web::{HttpResponse, http, patch, web};
use contracts::inventory::{AdjustStock, StockLevel};
use kernel::Sku;
use platform::access::Admin;
use platform::http::{Conditional, ETag, Json, Path};
use platform::problem::{Problem, ProblemBody};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Context;
use crate::app::adjust::adjust;
use crate::http::{TAG, expected_version};

#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct PatchStock {
    /// Pieces that come (positive) or go (negative); not zero.
    #[schema(example = -2, minimum = -1000000000, maximum = 1000000000)]
    change: i64,
    /// Why, 1 to 200 characters.
    #[schema(
        example = "broken in transit",
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    )]
    reason: String,
}

/// Add pieces to a SKU, or take some away
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "inventory:write"])),
    params(
        ("sku" = String, Path, description = "The SKU, in either case", example = "MUG-BLUE"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that you read: 412 if it has changed"),
    ),
    request_body = PatchStock,
    responses(
        (status = 200, body = StockLevel, headers(("ETag" = String, description = "Its version"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "A change of zero, or no reason"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `inventory:write`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No stock record of this SKU"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`insufficient_stock`: orders hold the rest"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json", description = "It has changed since you read it"),
    ),
)]
#[patch("/inventory/{sku}")]
pub(crate) async fn patch_stock(
    context: web::Data<Context>,
    Admin(admin): Admin,
    Path(sku): Path<Sku>,
    conditional: Conditional,
    Json(body): Json<PatchStock>,
) -> Result<HttpResponse, Problem> {
    let expected_version = expected_version(&context, &conditional, &sku).await?;
    let request = AdjustStock {
        movement_id: context.db.system().id(),
        sku,
        change: body.change,
        reason: body.reason,
        by: admin.by(),
    };
    let row = adjust(&context, request, expected_version, false).await?;
    Ok(HttpResponse::Ok()
        .insert_header((http::header::ETAG, ETag::of(row.version).as_str()))
        .json(row.level()?))
}
