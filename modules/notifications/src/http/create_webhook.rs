use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use platform::access::Admin;
use platform::http::{IdempotencyKey, Json};
use platform::problem::{Problem, ProblemBody};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Context;
use crate::app;
use crate::http::TAG;
use crate::http::list_webhooks::Webhook;

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct NewWebhook {
    /// Where events are posted to; http or https.
    #[schema(example = "https://example.com/souk", max_length = 2000)]
    url: String,
    /// `order.created`, `order.status_changed`, `order.updated`, `order.deleted`, `payment.captured`, `payment.refunded`.
    #[schema(example = json!(["order.created", "payment.captured"]))]
    events: Vec<String>,
    /// `whsec_` and 24 to 64 bytes in base64; made for you if absent.
    #[schema(
        pattern = r"^whsec_(?:(?:[A-Za-z0-9+/]{4}){8,20}(?:[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)?|(?:[A-Za-z0-9+/]{4}){21}(?:[A-Za-z0-9+/][AQgw]==)?)$"
    )]
    secret: Option<String>,
}

/// Add an endpoint that receives events
///
/// The answer shows the secret whole, this once.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "notifications:write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes it safe to send this again")),
    request_body = NewWebhook,
    responses(
        (status = 201, body = Webhook),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "A wrong URL, event or secret"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `notifications:write`"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`too_many_webhooks`, or the key is still in use"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "The key was used for another request"),
    ),
)]
#[post("/notifications/webhooks")]
pub(crate) async fn create_webhook(
    context: web::Data<Context>,
    Admin(admin): Admin,
    key: IdempotencyKey,
    Json(body): Json<NewWebhook>,
) -> Result<HttpResponse, Problem> {
    let key = key.covering(&admin.scope(), "POST /notifications/webhooks", &body);
    let NewWebhook { url, events, secret } = body;
    let request = app::create_webhook::CreateWebhook { url, events, secret, key };
    let context = context.into_inner();
    let system = context.db.system().clone();
    // A client that goes away must not leave its key open.
    let work = system.to_the_end(async move { app::create_webhook::create_webhook(&context, request).await });
    let answer = work.await.map_err(|error| Problem::internal(&error))??;
    Ok(answer.map(Webhook::with_secret).respond(StatusCode::CREATED))
}
