use actix_web::http::header;
use actix_web::{HttpResponse, post, web};
use contracts::scopes::Scope;
use kernel::{ApiKeyId, Timestamp, UserId};
use platform::access::Principal;
use platform::http::Json;
use platform::problem::{Problem, ProblemBody};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Context;
use crate::app;
use crate::error::AuthError;
use crate::http::TAG;
use crate::store::api_keys;

/// A key that a machine is to have.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct NewApiKey {
    /// What it is for.
    #[schema(min_length = 1, max_length = 100, example = "nightly export")]
    name: String,
    /// `<module>:read` and `<module>:write`: what the key may be used for, within what its owner may do.
    #[schema(min_items = 1, example = json!(["orders:read", "inventory:read"]))]
    scopes: Vec<String>,
    /// From then on it is refused: in 90 days unless told, in 365 at the latest.
    expires_at: Option<Timestamp>,
}

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApiKeyInfo {
    id: ApiKeyId,
    /// Whom it acts for.
    user_id: UserId,
    #[schema(example = "nightly export")]
    name: String,
    #[schema(value_type = Vec<String>, example = json!(["inventory:read", "orders:read"]))]
    scopes: Vec<Scope>,
    created_at: Timestamp,
    expires_at: Timestamp,
    /// To the minute, and known some seconds later.
    #[schema(required = true)]
    last_used_at: Option<Timestamp>,
}

impl From<api_keys::Model> for ApiKeyInfo {
    fn from(row: api_keys::Model) -> Self {
        Self {
            scopes: row.scopes(),
            id: ApiKeyId(row.id),
            user_id: UserId(row.user_id),
            name: row.name,
            created_at: Timestamp::from_ms(row.created_at_ms),
            expires_at: Timestamp::from_ms(row.expires_at_ms),
            last_used_at: row.last_used_at_ms.map(Timestamp::from_ms),
        }
    }
}

/// A new API key. Not `Debug`: it holds the secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedApiKey {
    #[serde(flatten)]
    info: ApiKeyInfo,
    /// Send it as `Authorization: Bearer <key>`. It is shown this once.
    #[schema(example = "souk_019357a07b2c7c3e9f005d1c2b3a4f5e...")]
    key: String,
}

/// Make an API key
///
/// It acts as you, with your role of the moment, within its scopes. It cannot make keys, nor look after sessions and passwords.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Accepted and not repeated: the answer holds a secret, which is not kept")),
    request_body = NewApiKey,
    responses(
        (status = 201, body = CreatedApiKey),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "A wrong name, scope or expiry"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key: this takes a person"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`too_many_api_keys`: revoke one first"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "Not JSON"),
    ),
)]
#[post("/auth/api-keys")]
pub(crate) async fn create_api_key(
    context: web::Data<Context>,
    owner: Principal,
    Json(body): Json<NewApiKey>,
) -> Result<HttpResponse, Problem> {
    let new = app::create_api_key::CreateApiKey {
        owner: owner.actor(),
        name: body.name,
        scopes: body.scopes,
        expires_at: body.expires_at,
    };
    let context = context.into_inner();
    let system = context.db.system().clone();
    let work = system.to_the_end(async move { app::create_api_key::create_api_key(&context, new).await });
    let created = work.await.map_err(AuthError::from)??;
    let body = CreatedApiKey { info: created.row.into(), key: created.text };
    Ok(HttpResponse::Created().insert_header((header::CACHE_CONTROL, "no-store")).json(&body))
}
