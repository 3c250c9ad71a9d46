use actix_web::{HttpResponse, http, patch, web};
use platform::access::Principal;
use platform::http::{Conditional, ETag, Json};
use platform::problem::{Problem, ProblemBody};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use crate::Context;
use crate::app::update_profile::{UpdateProfile, update_profile};
use crate::http::TAG;
use crate::http::user::User;
use crate::store::users;

#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct PatchMe {
    /// 1 to 200 characters; null takes it away.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, example = "Ada Lovelace", max_length = 200)]
    name: Option<Option<String>>,
    /// Keys that are to change; null forgets one. At most 8 KiB in all.
    #[schema(value_type = Option<Object>, example = json!({"newsletter": false}))]
    preferences: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Tells a null from a field that is not there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

/// Change your name or preferences
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["users:write"])),
    params(("If-Match" = Option<String>, Header, description = "The `ETag` that you read: 412 if it has changed")),
    request_body = PatchMe,
    responses(
        (status = 200, body = User, headers(("ETag" = String, description = "Its version"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "A name or preferences that do not fit"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `users:write`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "The account is gone"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json", description = "It has changed since you read it"),
    ),
)]
#[patch("/users/me")]
pub(crate) async fn patch_me(
    context: web::Data<Context>,
    me: Principal,
    conditional: Conditional,
    Json(body): Json<PatchMe>,
) -> Result<HttpResponse, Problem> {
    let expected_version = expected_version(&context, &me, &conditional).await?;
    let change = UpdateProfile { name: body.name, preferences: body.preferences, expected_version };
    let row = update_profile(&context, me.user_id, change).await?;
    let tag = ETag::of(row.version);
    Ok(HttpResponse::Ok().insert_header((http::header::ETAG, tag.as_str())).json(User::from(row)))
}

/// The version that `If-Match` demands. It is checked twice: here against the tag, and again in the transaction.
async fn expected_version(
    context: &Context,
    me: &Principal,
    conditional: &Conditional,
) -> Result<Option<i64>, Problem> {
    if !conditional.has_if_match() {
        return Ok(None);
    }
    let row =
        users::find(context.db.reader(), me.user_id).await?.ok_or_else(|| Problem::not_found("user"))?;
    conditional.check(&ETag::of(row.version))?;
    Ok(Some(row.version))
}
