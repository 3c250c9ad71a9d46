use actix_web::{HttpResponse, post};
use contracts::users::Role;
use kernel::{Timestamp, UserId};
use platform::access::Principal;
use platform::http::ok;
use platform::problem::{Problem, ProblemBody};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::TAG;

/// What a valid access token says.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Verified {
    /// Always true: an invalid token gives 401.
    #[schema(example = true)]
    valid: bool,
    user_id: UserId,
    #[schema(example = "ada@example.com")]
    email: String,
    role: Role,
    /// When the token expires.
    expires_at: Timestamp,
}

/// Check the access token that is sent
#[utoipa::path(
    tag = TAG,
    security(("bearer" = []), ("api_key" = ["auth:read"])),
    responses(
        (status = 200, body = Verified),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key without the scope `auth:read`"),
    ),
)]
#[post("/auth/verify")]
pub(crate) async fn verify(caller: Principal) -> Result<HttpResponse, Problem> {
    Ok(ok(&Verified {
        valid: true,
        user_id: caller.user_id,
        email: caller.email,
        role: caller.role,
        expires_at: caller.expires_at,
    }))
}
