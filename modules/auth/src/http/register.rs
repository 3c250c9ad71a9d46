use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use contracts::users::Role;
use kernel::EmailAddress;
use platform::http::Json;
use platform::problem::{Problem, ProblemBody};
use platform::rate_limit::{Allowance, Rule};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Context;
use crate::app::create_account::NewAccount;
use crate::app::open_session::Device;
use crate::error::AuthError;
use crate::http::TAG;
use crate::http::tokens::Tokens;

/// A new customer. Not `Debug`: it holds a password.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Register {
    email: EmailAddress,
    /// 8 to 128 characters of any kind, but none of the most usual passwords, and none of your names.
    #[schema(min_length = 8, max_length = 128, example = "correct horse battery staple", format = Password)]
    password: String,
    /// A second name to log in with: 3 to 64 characters of `a-z`, `0-9`, dot, underscore and hyphen.
    #[schema(min_length = 3, max_length = 64, pattern = "^[A-Za-z0-9._-]+$", example = "ada")]
    username: Option<String>,
    /// What to call you, 1 to 200 characters.
    #[schema(example = "Ada Lovelace")]
    name: Option<String>,
}

/// Create a customer's account and log in
#[utoipa::path(
    tag = TAG,
    security(()),
    params(("Idempotency-Key" = Option<String>, Header, description = "Accepted and not needed: the email address is the key; a repetition is told `email_taken`")),
    request_body = Register,
    responses(
        (status = 201, body = Tokens),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_body`: email, password, username or name; the pointer says which"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`email_taken` or `username_taken`"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "Not JSON"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json", description = "`too_many_requests`: too many registrations from your address; see `Retry-After`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`unavailable`: too many passwords wait to be hashed; see `Retry-After`"),
    ),
)]
#[post("/auth/register")]
pub(crate) async fn register(
    context: web::Data<Context>,
    allowance: Allowance,
    device: Device,
    body: Json<Register>,
) -> Result<HttpResponse, Problem> {
    respond(context, allowance, device, body).await
}

/// Create a customer's account and log in; the same as `POST /auth/register`
#[utoipa::path(
    tag = TAG,
    security(()),
    params(("Idempotency-Key" = Option<String>, Header, description = "Accepted and not needed: the email address is the key; a repetition is told `email_taken`")),
    request_body = Register,
    responses(
        (status = 201, body = Tokens),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_body`: email, password, username or name; the pointer says which"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`email_taken` or `username_taken`"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "Not JSON"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json", description = "`too_many_requests`: too many registrations from your address; see `Retry-After`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`unavailable`: too many passwords wait to be hashed; see `Retry-After`"),
    ),
)]
#[post("/users/register")]
pub(crate) async fn register_user(
    context: web::Data<Context>,
    allowance: Allowance,
    device: Device,
    body: Json<Register>,
) -> Result<HttpResponse, Problem> {
    respond(context, allowance, device, body).await
}

async fn respond(
    context: web::Data<Context>,
    allowance: Allowance,
    device: Device,
    Json(body): Json<Register>,
) -> Result<HttpResponse, Problem> {
    allowance.spend(Rule::Registration).await?;
    let account = NewAccount {
        email: body.email,
        username: body.username,
        name: body.name,
        password: body.password,
        role: Role::Customer,
    };
    let context = context.into_inner();
    let system = context.db.system().clone();
    let pair = system
        .to_the_end(async move { crate::app::register::register(&context, account, &device).await })
        .await
        .map_err(AuthError::from)??;
    Ok(Tokens::from(pair).respond(StatusCode::CREATED))
}
