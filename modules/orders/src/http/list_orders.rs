use actix_web::{HttpResponse, get, web};
use contracts::orders::{Order, OrderStatus};
use kernel::{Page, Timestamp, UserId};
use platform::access::Principal;
use platform::http::{Query, ok, page_of};
use platform::problem::{Problem, ProblemBody, codes};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::Context;
use crate::error::OrdersError;
use crate::http::{TAG, with_lines};
use crate::store::orders::{self, OrderFilter};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListOrders {
    /// Only orders of this status.
    status: Option<OrderStatus>,
    /// Placed then or later; a plain date is its first instant in UTC.
    #[param(value_type = Option<String>, example = "2026-03-01")]
    from: Option<Timestamp>,
    /// Placed before then.
    #[param(value_type = Option<String>, example = "2026-04-01")]
    to: Option<Timestamp>,
    /// Only orders of this customer; for admins. A customer may name only themselves: others do not exist for them.
    #[param(value_type = Option<String>, format = Uuid)]
    user_id: Option<UserId>,
    /// Items a page, 1 to 100; 20 unless told.
    #[param(minimum = 1, maximum = 100, example = 20)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Orders, newest first: one's own, or all of them for an admin
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["orders:read"])),
    params(ListOrders),
    responses(
        (status = 200, body = Page<Order>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "An unknown or wrong parameter"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `orders:read`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "`user_id` is another customer"),
    ),
)]
#[get("/orders")]
pub(crate) async fn list_orders(
    context: web::Data<Context>,
    reader: Principal,
    Query(query): Query<ListOrders>,
) -> Result<HttpResponse, Problem> {
    let (limit, cursor) = page_of(query.limit, query.cursor.as_deref())?;
    check_span(query.from, query.to)?;
    let owner = if reader.actor().is_admin() { query.user_id } else { Some(reader.user_id) };
    if query.user_id.is_some_and(|asked| !reader.actor().may_see(asked)) {
        return Err(OrdersError::NotFound.into());
    }
    let filter = OrderFilter { owner, status: query.status, from: query.from, to: query.to };
    let page = orders::page(context.db.reader(), filter, limit, cursor.as_ref()).await??;
    Ok(ok(&with_lines(&context, page).await?))
}

/// Refuses a span that ends before it begins.
pub(super) fn check_span(from: Option<Timestamp>, to: Option<Timestamp>) -> Result<(), Problem> {
    match (from, to) {
        (Some(from), Some(to)) if from > to => {
            Err(Problem::new(codes::INVALID_QUERY, "`from` lies after `to`."))
        }
        _ => Ok(()),
    }
}
