use actix_web::{HttpResponse, get, web};
use kernel::{Page, Timestamp, WebhookId};
use platform::access::Admin;
use platform::http::{Query, ok, page_of};
use platform::problem::{Problem, ProblemBody};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Context;
use crate::domain::endpoint;
use crate::http::{ListParams, TAG};
use crate::store::webhooks;

/// An endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Webhook {
    id: WebhookId,
    #[schema(example = "https://example.com/souk")]
    url: String,
    #[schema(example = json!(["order.created", "payment.captured"]))]
    events: Vec<String>,
    /// Signs each delivery. Whole in the answer that creates the endpoint, masked afterwards.
    #[schema(example = "whsec_********MzQ1")]
    secret: String,
    /// True if it stands in the settings of the shop.
    configured: bool,
    created_at: Timestamp,
}

impl Webhook {
    pub(crate) fn masked(row: webhooks::Model) -> Self {
        let secret = endpoint::masked(&row.secret);
        Self { secret, ..Self::with_secret(row) }
    }

    pub(crate) fn with_secret(row: webhooks::Model) -> Self {
        Self {
            id: WebhookId(row.id),
            events: row.events.split(' ').map(str::to_owned).collect(),
            url: row.url,
            secret: row.secret,
            configured: row.configured,
            created_at: Timestamp::from_ms(row.created_at_ms),
        }
    }
}

/// The endpoints that receive events
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "notifications:read"])),
    params(ListParams),
    responses(
        (status = 200, body = Page<Webhook>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "An unknown or wrong parameter"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `notifications:read`"),
    ),
)]
#[get("/notifications/webhooks")]
pub(crate) async fn list_webhooks(
    context: web::Data<Context>,
    _admin: Admin,
    Query(query): Query<ListParams>,
) -> Result<HttpResponse, Problem> {
    let (limit, cursor) = page_of(query.limit, query.cursor.as_deref())?;
    let page = webhooks::page(context.db.reader(), limit, cursor.as_ref()).await??;
    Ok(ok(&page.map(Webhook::masked)))
}
