use actix_web::{HttpResponse, get, web};
use contracts::orders::Order;
use kernel::{Page, UserId};
use platform::access::Principal;
use platform::http::{Path, Query, ok, page_of};
use platform::problem::{Problem, ProblemBody};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::Context;
use crate::error::OrdersError;
use crate::http::{TAG, with_lines};
use crate::store::orders::{self, OrderFilter};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListOrdersOfUser {
    /// Items a page, 1 to 100; 20 unless told.
    #[param(minimum = 1, maximum = 100, example = 20)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The orders of one customer, newest first
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["orders:read"])),
    params(("user_id" = UserId, Path, description = "The customer"), ListOrdersOfUser),
    responses(
        (status = 200, body = Page<Order>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "An unknown or wrong parameter"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `orders:read`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "Another customer"),
    ),
)]
#[get("/orders/user/{user_id}")]
pub(crate) async fn list_orders_of_user(
    context: web::Data<Context>,
    reader: Principal,
    Path(user_id): Path<UserId>,
    Query(query): Query<ListOrdersOfUser>,
) -> Result<HttpResponse, Problem> {
    let (limit, cursor) = page_of(query.limit, query.cursor.as_deref())?;
    if !reader.actor().may_see(user_id) {
        return Err(OrdersError::NotFound.into());
    }
    let filter = OrderFilter { owner: Some(user_id), ..OrderFilter::default() };
    let page = orders::page(context.db.reader(), filter, limit, cursor.as_ref()).await??;
    Ok(ok(&with_lines(&context, page).await?))
}
