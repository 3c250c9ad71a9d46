use actix_web::{HttpResponse, get, web};
use kernel::Timestamp;
use platform::access::Principal;
use platform::http::ok;
use platform::problem::{Problem, ProblemBody};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Context;
use crate::http::TAG;
use crate::store::{credentials, recovery_codes, second_factors, verified_emails};

/// How safe your account is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Account {
    /// Whether you have shown that its address is yours.
    #[schema(example = true)]
    email_verified: bool,
    /// Whether a login needs a code as well.
    #[schema(example = true)]
    second_factor: bool,
    /// Recovery codes that are left.
    #[schema(example = 10)]
    recovery_codes: u64,
    /// When the password was chosen.
    password_changed_at: Timestamp,
}

/// What stands between your account and others
#[utoipa::path(
    tag = TAG,
    security(("bearer" = [])),
    responses(
        (status = 200, body = Account),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key: only a person may"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`unavailable`"),
    ),
)]
#[get("/auth/account")]
pub(crate) async fn get_account(
    context: web::Data<Context>,
    caller: Principal,
) -> Result<HttpResponse, Problem> {
    let reader = context.db.reader();
    let credential = credentials::of(reader, caller.user_id).await?;
    let credential = credential.ok_or_else(|| Problem::not_found("account"))?;
    let changed_at_ms = credential.password_changed_at_ms.unwrap_or(credential.created_at_ms);
    Ok(ok(&Account {
        email_verified: verified_emails::has(reader, caller.user_id).await?,
        second_factor: second_factors::confirmed(reader, caller.user_id).await?.is_some(),
        recovery_codes: recovery_codes::count(reader, caller.user_id).await?,
        password_changed_at: Timestamp::from_ms(changed_at_ms),
    }))
}
