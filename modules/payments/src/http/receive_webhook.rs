use actix_web::http::header::HeaderMap;
use actix_web::{HttpRequest, HttpResponse, post, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use platform::http::{Path, no_content};
use platform::problem::{Problem, ProblemBody, codes};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Context;
use crate::app::receive_webhook::{Webhook, receive_webhook as receive};
use crate::domain::signature::{self, Signed};
use crate::error::{invalid_signature, too_large};
use crate::http::TAG;

/// The largest webhook, bytes.
const MAX_BYTES: usize = 64 * 1024;

/// What the sandbox sends. Only the key is read: what happened is asked of the provider.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct SandboxWebhook {
    /// `payment.captured` or `payment.failed`; others are ignored.
    #[serde(rename = "type")]
    #[schema(example = "payment.captured")]
    kind: String,
    /// The key under which the provider was called.
    #[schema(example = "charge-019357a07b2c7c3e9f005d1c2b3a4f5e")]
    provider_key: Option<String>,
}

/// Tell that something happened at the provider
///
/// Signed as Standard Webhooks 1.0 says. It only makes the shop look: what it writes, it learns from the provider. The
/// same `webhook-id` again does nothing.
#[utoipa::path(
    tag = TAG,
    security(()),
    params(
        ("provider" = String, Path, description = "The provider", example = "sandbox"),
        ("webhook-id" = String, Header, description = "Unique; the same again when it is sent again", example = "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp" = i64, Header, description = "Seconds since 1970, at most five minutes off", example = 1_614_265_330),
        ("webhook-signature" = String, Header, description = "`v1,` and the base64 of HMAC-SHA-256 over `id.timestamp.body`; several are separated by spaces", example = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ),
    request_body(content = SandboxWebhook, example = json!({"type": "payment.captured", "provider_key": "charge-019357a07b2c7c3e9f005d1c2b3a4f5e"})),
    responses(
        (status = 204, description = "Heard, now or before"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "Signed, but not to be read"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_signature`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such provider"),
        (status = 413, body = ProblemBody, content_type = "application/problem+json", description = "More than 64 KiB"),
    ),
)]
#[post("/payments/webhooks/{provider}")]
pub(crate) async fn receive_webhook(
    context: web::Data<Context>,
    request: HttpRequest,
    Path(provider): Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    if provider != context.provider.name() {
        return Err(Problem::not_found("payment provider"));
    }
    let signed = signed(request.headers()).ok_or_else(invalid_signature)?;
    let body = read(payload).await?;
    let now_s = context.db.system().now().ms() / 1_000;
    if !signature::holds(&context.settings.webhook_secret, &signed, &body, now_s) {
        return Err(invalid_signature());
    }
    let event: SandboxWebhook = serde_json::from_slice(&body).map_err(|error| {
        Problem::new(codes::MALFORMED_JSON, format!("The webhook cannot be read: {error}."))
    })?;
    let known = matches!(event.kind.as_str(), "payment.captured" | "payment.failed");
    let webhook = Webhook { id: signed.id.to_owned(), provider_key: event.provider_key.filter(|_| known) };
    receive(context.into_inner(), webhook).await?;
    Ok(no_content())
}

fn signed(headers: &HeaderMap) -> Option<Signed<'_>> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    Some(Signed {
        id: text("webhook-id")?,
        timestamp: text("webhook-timestamp")?,
        signatures: text("webhook-signature")?,
    })
}

async fn read(mut payload: web::Payload) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| {
            Problem::new(codes::MALFORMED_JSON, format!("The body could not be read: {error}."))
        })?;
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(too_large(MAX_BYTES));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
