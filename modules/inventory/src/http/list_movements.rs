use actix_web::{HttpResponse, get, web};
use kernel::{OrderId, Page, Sku, Timestamp, UserId};
use platform::access::Admin;
use platform::http::{Path, Query, ok, page_of};
use platform::problem::{Problem, ProblemBody};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::Context;
use crate::error::InventoryError;
use crate::http::TAG;
use crate::store::{movements, stock};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListMovements {
    /// Items a page, 1 to 100; 20 unless told.
    #[param(minimum = 1, maximum = 100, example = 20)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// One change of `on_hand`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Movement {
    id: Uuid,
    /// `opening`, `set`, `adjusted` or `shipped`.
    #[schema(example = "adjusted")]
    kind: String,
    /// Pieces that came (positive) or went (negative).
    #[schema(example = -2)]
    change: i64,
    /// `on_hand` after it.
    #[schema(example = 38)]
    on_hand_after: i64,
    #[schema(example = "broken in transit")]
    reason: String,
    /// The order that took the pieces.
    #[schema(required = true)]
    order_id: Option<OrderId>,
    /// The admin who did it.
    #[schema(required = true)]
    actor_id: Option<UserId>,
    at: Timestamp,
}

impl From<movements::Model> for Movement {
    fn from(row: movements::Model) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            change: row.change,
            on_hand_after: row.on_hand_after,
            reason: row.reason,
            order_id: row.order_id.map(OrderId),
            actor_id: row.actor_id.map(UserId),
            at: Timestamp::from_ms(row.at_ms),
        }
    }
}

/// The ledger of one SKU, newest first
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "inventory:read"])),
    params(("sku" = String, Path, description = "The SKU, in either case", example = "MUG-BLUE"), ListMovements),
    responses(
        (status = 200, body = Page<Movement>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "An unknown or wrong parameter"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `inventory:read`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No stock record of this SKU"),
    ),
)]
#[get("/inventory/{sku}/movements")]
pub(crate) async fn list_movements(
    context: web::Data<Context>,
    _admin: Admin,
    Path(sku): Path<Sku>,
    Query(query): Query<ListMovements>,
) -> Result<HttpResponse, Problem> {
    let (limit, cursor) = page_of(query.limit, query.cursor.as_deref())?;
    let row = stock::find(context.db.reader(), &sku).await?.ok_or(InventoryError::NotFound(sku))?;
    let page = movements::page_of(context.db.reader(), row.id, limit, cursor.as_ref()).await??;
    Ok(ok(&page.map(Movement::from)))
}
