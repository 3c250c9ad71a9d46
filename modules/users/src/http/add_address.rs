use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use kernel::Address;
use platform::access::Principal;
use platform::http::{Answer, IdempotencyKey, Json};
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::app;
use crate::http::TAG;
use crate::http::list_addresses::BookedAddress;

/// Add an address to your book
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["users:write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes it safe to send this again")),
    request_body = Address,
    responses(
        (status = 201, body = BookedAddress),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "Not an address"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `users:write`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "The account is gone"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`too_many_addresses`, or the key is still in use"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "The key was used for another request"),
    ),
)]
#[post("/users/me/addresses")]
pub(crate) async fn add_address(
    context: web::Data<Context>,
    me: Principal,
    key: IdempotencyKey,
    Json(address): Json<Address>,
) -> Result<HttpResponse, Problem> {
    let key = key.covering(&me.scope(), "POST /users/me/addresses", &address);
    let context = context.into_inner();
    let system = context.db.system().clone();
    // A client that goes away must not leave its key open.
    let work = system
        .to_the_end(async move { app::add_address::add_address(&context, me.user_id, address, key).await });
    let Answer { value, replayed } = work.await.map_err(|error| Problem::internal(&error))??;
    let answer = Answer { value: BookedAddress::try_from(value)?, replayed };
    Ok(answer.respond(StatusCode::CREATED))
}
