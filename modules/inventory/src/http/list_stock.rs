use actix_web::{HttpResponse, get, web};
use contracts::inventory::StockLevel;
use kernel::Page;
use platform::access::Principal;
use platform::http::{Query, ok, page_of};
use platform::problem::{Problem, ProblemBody};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::Context;
use crate::http::TAG;
use crate::store::stock;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListStock {
    /// `true`: only what is low; `false`: only what is not.
    low_stock: Option<bool>,
    /// Items a page, 1 to 100; 20 unless told.
    #[param(minimum = 1, maximum = 100, example = 20)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Stock levels, in SKU order
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["inventory:read"])),
    params(ListStock),
    responses(
        (status = 200, body = Page<StockLevel>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "An unknown or wrong parameter"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `inventory:read`"),
    ),
)]
#[get("/inventory")]
pub(crate) async fn list_stock(
    context: web::Data<Context>,
    _reader: Principal,
    Query(query): Query<ListStock>,
) -> Result<HttpResponse, Problem> {
    let (limit, cursor) = page_of(query.limit, query.cursor.as_deref())?;
    let page = stock::page(context.db.reader(), query.low_stock, limit, cursor.as_ref()).await??;
    let levels = page.items.iter().map(stock::Model::level).collect::<Result<Vec<_>, _>>()?;
    Ok(ok(&Page { items: levels, next_cursor: page.next_cursor }))
}
