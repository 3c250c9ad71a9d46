use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use platform::http::Json;
use platform::problem::{Problem, ProblemBody};
use platform::rate_limit::{Allowance, Rule};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Context;
use crate::app::open_session::Device;
use crate::domain::login_name::LoginName;
use crate::domain::password::Password;
use crate::http::TAG;
use crate::http::tokens::Tokens;

/// A name, in exactly one of the two fields, and a password. Not `Debug`: it holds a password.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Login {
    /// The email address; a username is understood too.
    #[schema(example = "ada@example.com")]
    email: Option<String>,
    /// The username; an email address is understood too.
    #[schema(example = json!(null))]
    username: Option<String>,
    #[schema(example = "correct horse battery staple", format = Password)]
    password: String,
    /// What the authenticator app shows now, or a recovery code, if the account has a second factor.
    #[schema(example = json!(null))]
    code: Option<String>,
}

/// Log in
///
/// Of a name only failures are counted: after too many wrong passwords it has to wait, each client for itself. If the account has a
/// second factor, the answer to the right password alone is `second_factor_required`; nothing is kept between the two requests.
#[utoipa::path(
    tag = TAG,
    security(()),
    params(("Idempotency-Key" = Option<String>, Header, description = "Accepted and not needed: each login opens a session of its own")),
    request_body = Login,
    responses(
        (status = 200, body = Tokens),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_body`: no name, or two"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_credentials`, alike for an unknown name, a wrong password and an account that is switched off; `second_factor_required`: the password is right, send it again with `code`; `invalid_second_factor`: the code is not good"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "Not JSON"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json", description = "`too_many_requests`: too many failures with this name, or too many logins from your address; see `Retry-After`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`unavailable`: too many passwords wait to be compared; see `Retry-After`"),
    ),
)]
#[post("/auth/login")]
pub(crate) async fn login(
    context: web::Data<Context>,
    allowance: Allowance,
    device: Device,
    body: Json<Login>,
) -> Result<HttpResponse, Problem> {
    respond(context, allowance, device, body).await
}

/// Log in; the same as `POST /auth/login`
///
/// Of a name only failures are counted: after too many wrong passwords it has to wait, each client for itself. If the account has a
/// second factor, the answer to the right password alone is `second_factor_required`; nothing is kept between the two requests.
#[utoipa::path(
    tag = TAG,
    security(()),
    params(("Idempotency-Key" = Option<String>, Header, description = "Accepted and not needed: each login opens a session of its own")),
    request_body = Login,
    responses(
        (status = 200, body = Tokens),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_body`: no name, or two"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_credentials`, alike for an unknown name, a wrong password and an account that is switched off; `second_factor_required`: the password is right, send it again with `code`; `invalid_second_factor`: the code is not good"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "Not JSON"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json", description = "`too_many_requests`: too many failures with this name, or too many logins from your address; see `Retry-After`"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`unavailable`: too many passwords wait to be compared; see `Retry-After`"),
    ),
)]
#[post("/users/login")]
pub(crate) async fn login_user(
    context: web::Data<Context>,
    allowance: Allowance,
    device: Device,
    body: Json<Login>,
) -> Result<HttpResponse, Problem> {
    respond(context, allowance, device, body).await
}

async fn respond(
    context: web::Data<Context>,
    allowance: Allowance,
    device: Device,
    Json(body): Json<Login>,
) -> Result<HttpResponse, Problem> {
    allowance.spend(Rule::Login).await?;
    let name = match (body.email, body.username) {
        (Some(name), None) | (None, Some(name)) => LoginName::read(&name),
        (None, None) => return Err(Problem::invalid("/email", "send `email` or `username`")),
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("/username", "send `email` or `username`, not both"));
        }
    };
    // Not to the end: a login whose client has gone is dropped, and its place in the hashing queue with it.
    let password = Password::typed(body.password);
    let pair = crate::app::login::login(&context, &name, password, body.code.as_deref(), &device).await?;
    Ok(Tokens::from(pair).respond(StatusCode::OK))
}
