use actix_web::{HttpResponse, get, web};
use kernel::{Page, UserId};
use platform::access::Principal;
use platform::http::{Query, ok, page_of};
use platform::problem::{Problem, ProblemBody};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::Context;
use crate::http::TAG;
use crate::http::create_api_key::ApiKeyInfo;
use crate::store::api_keys;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListApiKeys {
    /// Whose, for admins; your own unless told.
    user_id: Option<UserId>,
    /// Items a page, 1 to 100; 20 unless told.
    #[param(minimum = 1, maximum = 100, example = 20)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Your API keys that are not revoked, oldest first
#[utoipa::path(
    tag = TAG,
    security(("bearer" = [])),
    params(ListApiKeys),
    responses(
        (status = 200, body = Page<ApiKeyInfo>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "An unknown or wrong parameter"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key: this takes a person"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "Another user's, for a customer"),
    ),
)]
#[get("/auth/api-keys")]
pub(crate) async fn list_api_keys(
    context: web::Data<Context>,
    reader: Principal,
    Query(query): Query<ListApiKeys>,
) -> Result<HttpResponse, Problem> {
    let (limit, cursor) = page_of(query.limit, query.cursor.as_deref())?;
    let owner = query.user_id.unwrap_or(reader.user_id);
    if !reader.actor().may_see(owner) {
        return Err(Problem::not_found("user"));
    }
    let page = api_keys::page_of(context.db.reader(), owner, limit, cursor.as_ref()).await??;
    let items: Vec<ApiKeyInfo> = page.items.into_iter().map(ApiKeyInfo::from).collect();
    Ok(ok(&Page { items, next_cursor: page.next_cursor }))
}
