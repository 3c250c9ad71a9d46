use actix_web::{HttpResponse, patch, web};
use contracts::users::Role;
use kernel::UserId;
use platform::access::Admin;
use platform::http::{Json, Path, ok};
use platform::problem::{Problem, ProblemBody};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Context;
use crate::app::change_access::{ChangeAccess, change_access};
use crate::http::TAG;
use crate::http::user::User;

#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct PatchUser {
    role: Option<Role>,
    /// False: the user cannot log in, and every session ends.
    #[schema(example = true)]
    active: Option<bool>,
}

/// Change what a user may do, or switch the account on or off
///
/// The user's sessions end; what they may do from now on is in the token of their next login.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "users:write"])),
    params(("id" = UserId, Path, description = "The user")),
    request_body = PatchUser,
    responses(
        (status = 200, body = User),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "An unknown role"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `users:write`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "No such user"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`own_access`: another admin has to do that"),
    ),
)]
#[patch("/users/{id}")]
pub(crate) async fn patch_user(
    context: web::Data<Context>,
    Admin(admin): Admin,
    Path(id): Path<UserId>,
    Json(body): Json<PatchUser>,
) -> Result<HttpResponse, Problem> {
    let change = ChangeAccess { role: body.role, active: body.active };
    let row = change_access(&context, admin.by(), id, change).await?;
    Ok(ok(&User::from(row)))
}
