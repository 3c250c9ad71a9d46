use actix_web::{HttpResponse, get, web};
use contracts::users::Role;
use kernel::Page;
use platform::access::Principal;
use platform::http::{Query, ok, page_of};
use platform::problem::{Problem, ProblemBody};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::Context;
use crate::http::TAG;
use crate::http::user::User;
use crate::store::users;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListUsers {
    /// Only the user with this address, whatever its case.
    #[param(example = "ada@example.com")]
    email: Option<String>,
    /// Only users of this role.
    role: Option<Role>,
    /// Items a page, 1 to 100; 20 unless told.
    #[param(minimum = 1, maximum = 100, example = 20)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Users in the order in which they joined: all for an admin, only yourself for a customer
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["users:read"])),
    params(ListUsers),
    responses(
        (status = 200, body = Page<User>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "An unknown or wrong parameter"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `users:read`"),
    ),
)]
#[get("/users")]
pub(crate) async fn list_users(
    context: web::Data<Context>,
    reader: Principal,
    Query(query): Query<ListUsers>,
) -> Result<HttpResponse, Problem> {
    let (limit, cursor) = page_of(query.limit, query.cursor.as_deref())?;
    let only = (reader.role != Role::Admin).then_some(reader.user_id);
    let email = query.email.map(|email| email.trim().to_lowercase());
    let (db, cursor) = (context.db.reader(), cursor.as_ref());
    let page = users::page(db, only, email.as_deref(), query.role, limit, cursor).await??;
    Ok(ok(&page.map(User::from)))
}
