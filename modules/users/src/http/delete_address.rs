use actix_web::{HttpResponse, delete, web};
use kernel::AddressId;
use platform::access::Principal;
use platform::http::{Path, no_content};
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::app;
use crate::http::TAG;

/// Take an address out of your book
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["users:write"])),
    params(("id" = AddressId, Path, description = "The address")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `users:write`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such address of yours"),
    ),
)]
#[delete("/users/me/addresses/{id}")]
pub(crate) async fn delete_address(
    context: web::Data<Context>,
    me: Principal,
    Path(id): Path<AddressId>,
) -> Result<HttpResponse, Problem> {
    app::delete_address::delete_address(&context, me.user_id, id).await?;
    Ok(no_content())
}
