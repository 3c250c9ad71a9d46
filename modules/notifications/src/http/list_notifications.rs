use actix_web::{HttpResponse, get, web};
use kernel::{NotificationId, Page, Timestamp};
use platform::access::Principal;
use platform::http::{Query, ok, page_of};
use platform::problem::{Problem, ProblemBody};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Context;
use crate::http::{ListParams, TAG};
use crate::store::notifications;

/// A message to the caller.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Notification {
    id: NotificationId,
    #[schema(example = "email")]
    channel: String,
    /// Which text it is.
    #[schema(example = "order_created")]
    template: String,
    #[schema(example = "We have your order 261121-7K3QF9XM2A")]
    subject: String,
    /// `queued`, `sent` or `failed`.
    #[schema(example = "sent")]
    status: String,
    created_at: Timestamp,
    #[schema(required = true)]
    sent_at: Option<Timestamp>,
}

impl From<notifications::Model> for Notification {
    fn from(row: notifications::Model) -> Self {
        Self {
            id: NotificationId(row.id),
            channel: row.channel,
            template: row.template,
            subject: row.subject,
            status: row.status,
            created_at: Timestamp::from_ms(row.created_at_ms),
            sent_at: row.sent_at_ms.map(Timestamp::from_ms),
        }
    }
}

/// Your own notifications, newest first
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["notifications:read"])),
    params(ListParams),
    responses(
        (status = 200, body = Page<Notification>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "An unknown or wrong parameter"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `notifications:read`"),
    ),
)]
#[get("/notifications")]
pub(crate) async fn list_notifications(
    context: web::Data<Context>,
    reader: Principal,
    Query(query): Query<ListParams>,
) -> Result<HttpResponse, Problem> {
    let (limit, cursor) = page_of(query.limit, query.cursor.as_deref())?;
    let page = notifications::page_of(context.db.reader(), reader.user_id, limit, cursor.as_ref()).await??;
    Ok(ok(&page.map(Notification::from)))
}
