use actix_web::{HttpResponse, get, web};
use platform::access::Principal;
use platform::http::{Conditional, ETag};
use platform::problem::{Problem, ProblemBody};

use crate::Context;
use crate::http::TAG;
use crate::http::user::User;
use crate::store::users;

/// Your own profile
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["users:read"])),
    params(("If-None-Match" = Option<String>, Header, description = "An `ETag` that you have: 304 if it still holds")),
    responses(
        (status = 200, body = User, headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "You have it"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `users:read`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "The account is gone"),
    ),
)]
#[get("/users/me")]
pub(crate) async fn get_me(
    context: web::Data<Context>,
    me: Principal,
    conditional: Conditional,
) -> Result<HttpResponse, Problem> {
    let row =
        users::find(context.db.reader(), me.user_id).await?.ok_or_else(|| Problem::not_found("user"))?;
    Ok(conditional.answer(&ETag::of(row.version), &User::from(row)))
}
