use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpResponse, post, web};
use platform::access::Principal;
use platform::http::{IdempotencyKey, Json};
use platform::problem::{Problem, ProblemBody};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Context;
use crate::app::merge;
use crate::app::read::CartView;
use crate::domain::token::CartToken;
use crate::http::{TAG, answer};

#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct MergeBody {
    /// The `X-Cart-Token` of the guest that you were.
    #[schema(example = "q1Zk0dM2n6vXv2b7b0m4oT3s8yQWcE5uJr9aHfLxPgI")]
    cart_token: String,
}

/// Take a guest's cart over into the customer's
///
/// Pieces of the same SKU are added up, to 10,000 at most. The guest's cart ends; merging it again changes nothing.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["cart:write"])),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Of your own making; a retry with it gets the same answer"),
    ),
    request_body = MergeBody,
    responses(
        (status = 200, body = CartView, headers(
            ("ETag" = String, description = "Its tag"),
            ("Idempotency-Replayed" = Option<String>, description = "`true` if an earlier request with this key was answered so"),
        )),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "A bad body"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `cart:write`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No guest's cart has this token, or another customer took it over"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`idempotency_key_in_progress`"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "`too_many_lines`: nothing was merged; or `total_too_large`, or `idempotency_key_reused`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "A part of the shop does not answer now; ask again"),
    ),
)]
#[post("/cart/merge")]
pub(crate) async fn merge_cart(
    context: web::Data<Context>,
    principal: Principal,
    key: IdempotencyKey,
    Json(body): Json<MergeBody>,
) -> Result<HttpResponse, Problem> {
    let keyed = key.covering(&principal.scope(), "POST /cart/merge", &body.cart_token);
    let token = CartToken::parse(&body.cart_token);
    let context = context.into_inner();
    let system = context.db.system().clone();
    // A client that goes away must not leave its key open.
    let work = system
        .to_the_end(async move { merge::merge(&context, principal.user_id, token.as_ref(), keyed).await });
    let done = work.await.map_err(|error| Problem::internal(&error))??;
    let mut response = answer::changed(&done.value);
    if done.replayed {
        let replayed = HeaderName::from_static("idempotency-replayed");
        response.headers_mut().insert(replayed, HeaderValue::from_static("true"));
    }
    Ok(response)
}
