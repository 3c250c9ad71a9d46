use actix_web::{HttpResponse, get, web};
use kernel::{OrderId, Page};
use platform::access::Principal;
use platform::http::{Query, ok, page_of};
use platform::problem::{Problem, ProblemBody};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::Context;
use crate::app::outcome::{PaymentBody, StatusName};
use crate::http::{TAG, scope_of};
use crate::store::payments::{self, Filter};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListPayments {
    /// Only payments of this order.
    #[param(value_type = Option<String>, format = Uuid)]
    order_id: Option<OrderId>,
    /// Only payments that stand so.
    #[param(inline)]
    status: Option<StatusName>,
    /// Items a page, 1 to 100; 20 unless told.
    #[param(minimum = 1, maximum = 100, example = 20)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Your payments, newest first; an admin sees all
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["payments:read"])),
    params(ListPayments),
    responses(
        (status = 200, body = Page<PaymentBody>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "An unknown or wrong parameter"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `payments:read`"),
    ),
)]
#[get("/payments")]
pub(crate) async fn list_payments(
    context: web::Data<Context>,
    reader: Principal,
    Query(query): Query<ListPayments>,
) -> Result<HttpResponse, Problem> {
    let (limit, cursor) = page_of(query.limit, query.cursor.as_deref())?;
    let filter = Filter { order_id: query.order_id, status: query.status.map(Into::into) };
    let conn = context.db.reader();
    let page = payments::page(conn, scope_of(&reader), filter, limit, cursor.as_ref()).await??;
    let items = page.items.iter().map(PaymentBody::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(ok(&Page { items, next_cursor: page.next_cursor }))
}
