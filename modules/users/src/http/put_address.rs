use actix_web::{HttpResponse, put, web};
use kernel::{Address, AddressId};
use platform::access::Principal;
use platform::http::{Json, Path, ok};
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::app;
use crate::http::TAG;
use crate::http::list_addresses::BookedAddress;

/// Replace an address in your book
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["users:write"])),
    params(("id" = AddressId, Path, description = "The address")),
    request_body = Address,
    responses(
        (status = 200, body = BookedAddress),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "Not an address"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `users:write`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such address of yours"),
    ),
)]
#[put("/users/me/addresses/{id}")]
pub(crate) async fn put_address(
    context: web::Data<Context>,
    me: Principal,
    Path(id): Path<AddressId>,
    Json(address): Json<Address>,
) -> Result<HttpResponse, Problem> {
    let row = app::replace_address::replace_address(&context, me.user_id, id, &address).await?;
    Ok(ok(&BookedAddress::try_from(row)?))
}
