use actix_web::http::header;
use actix_web::{HttpResponse, get, web};
use contracts::auth::PublicKey;
use platform::problem::{Problem, ProblemBody};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Context;
use crate::http::TAG;
use crate::signing::public_part;
use crate::store::signing_keys;

/// A JSON Web Key Set (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Jwks {
    keys: Vec<PublicKey>,
}

/// The public keys that verify access tokens
///
/// Tokens are signed with EdDSA (Ed25519) and carry `typ: at+jwt` and the `kid` of their key. A verifier that meets a `kid`
/// which it does not know reads the set again, though not more often than every few seconds.
#[utoipa::path(
    tag = TAG,
    security(()),
    responses(
        (status = 200, body = Jwks, headers(("Cache-Control" = String, description = "How long they may be kept")),
            example = json!({"keys": [{"kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`unavailable`"),
    ),
)]
#[get("/auth/.well-known/jwks.json")]
pub(crate) async fn jwks(context: web::Data<Context>) -> Result<HttpResponse, Problem> {
    let rows = signing_keys::published(context.db.reader(), context.db.system().now()).await?;
    let body = Jwks { keys: rows.iter().map(public_part).collect() };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "public, max-age=300")).json(body))
}
