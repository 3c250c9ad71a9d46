use actix_web::{HttpResponse, get, web};
use contracts::orders::Order;
use kernel::OrderId;
use platform::access::Principal;
use platform::http::{Conditional, ETag, Path};
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::error::OrdersError;
use crate::http::TAG;
use crate::store::{lines, orders};

/// One order
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["orders:read"])),
    params(
        ("id" = OrderId, Path, description = "The order"),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag` that you have: 304 if it still holds"),
    ),
    responses(
        (status = 200, body = Order, headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "You have it"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `orders:read`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such order, or another customer's"),
    ),
)]
#[get("/orders/{id}")]
pub(crate) async fn get_order(
    context: web::Data<Context>,
    reader: Principal,
    Path(id): Path<OrderId>,
    conditional: Conditional,
) -> Result<HttpResponse, Problem> {
    let row = orders::find(context.db.reader(), id, reader.actor()).await?.ok_or(OrdersError::NotFound)?;
    let order = row.order(&lines::of(context.db.reader(), row.id).await?)?;
    Ok(conditional.answer(&ETag::of(row.version), &order))
}
