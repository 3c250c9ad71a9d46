use actix_web::{HttpResponse, get, web};
use kernel::UserId;
use platform::access::Principal;
use platform::http::{Path, ok};
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::http::TAG;
use crate::http::user::User;
use crate::store::users;

/// One user: yourself, or anyone for an admin
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["users:read"])),
    params(("id" = UserId, Path, description = "The user")),
    responses(
        (status = 200, body = User),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `users:read`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such user, or someone else"),
    ),
)]
#[get("/users/{id}")]
pub(crate) async fn get_user(
    context: web::Data<Context>,
    reader: Principal,
    Path(id): Path<UserId>,
) -> Result<HttpResponse, Problem> {
    if !reader.actor().may_see(id) {
        return Err(Problem::not_found("user"));
    }
    let row = users::find(context.db.reader(), id).await?.ok_or_else(|| Problem::not_found("user"))?;
    Ok(ok(&User::from(row)))
}
