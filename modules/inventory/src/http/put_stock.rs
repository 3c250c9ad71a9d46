use actix_web::{HttpResponse, http, put, web};
use contracts::inventory::StockLevel;
use kernel::Sku;
use platform::access::Admin;
use platform::http::{Conditional, ETag, Json, Path};
use platform::problem::{Problem, ProblemBody};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Context;
use crate::app::set_level::{SetLevel, set_level};
use crate::http::{TAG, expected_version};

#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct PutStock {
    /// Pieces in the house, 0 to 1,000,000,000.
    #[schema(minimum = 0, maximum = 1_000_000_000, example = 40)]
    on_hand: i64,
    /// At or under this many available pieces the SKU counts as low.
    #[schema(minimum = 0, maximum = 1_000_000_000, example = 5)]
    low_stock_threshold: Option<i64>,
}

/// Set the stock of a SKU to what was counted
///
/// The difference goes into the ledger. A SKU without a stock record gets one.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "inventory:write"])),
    params(
        ("sku" = String, Path, description = "The SKU, in either case", example = "MUG-BLUE"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that you read: 412 if it has changed"),
    ),
    request_body = PutStock,
    responses(
        (status = 200, body = StockLevel, headers(("ETag" = String, description = "Its version"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "A number out of range"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `inventory:write`"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`insufficient_stock`: orders hold more than that"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json", description = "It has changed since you read it"),
    ),
)]
#[put("/inventory/{sku}")]
pub(crate) async fn put_stock(
    context: web::Data<Context>,
    Admin(admin): Admin,
    Path(sku): Path<Sku>,
    conditional: Conditional,
    Json(body): Json<PutStock>,
) -> Result<HttpResponse, Problem> {
    let expected_version = expected_version(&context, &conditional, &sku).await?;
    let request = SetLevel {
        sku,
        on_hand: body.on_hand,
        low_stock_threshold: body.low_stock_threshold,
        by: admin.by(),
        expected_version,
    };
    let (row, _) = set_level(&context, request).await?;
    Ok(HttpResponse::Ok()
        .insert_header((http::header::ETAG, ETag::of(row.version).as_str()))
        .json(row.level()?))
}
