use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use platform::http::Json;
use platform::problem::{Problem, ProblemBody};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Context;
use crate::http::TAG;
use crate::http::tokens::Tokens;

/// Not `Debug`: it holds a token.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Refresh {
    /// The latest one of the session.
    #[schema(example = "mTtWm4mTnkPZ0Zq0Hf9zUq0w6rjRr1v4e0bY8m2xqkE")]
    refresh_token: String,
}

/// Get a new pair of tokens for a refresh token
///
/// The refresh token is spent by this. Repeated within some seconds, it gives the same refresh token again, as long as nobody has
/// used that one. If a spent one comes otherwise, two parties have it: the session ends for both.
/// After a change of the role the session has ended; log in anew.
#[utoipa::path(
    tag = TAG,
    security(()),
    request_body = Refresh,
    responses(
        (status = 200, body = Tokens),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_body`"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_refresh_token`: unknown, expired, spent, or of an ended session"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "Not JSON"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`unavailable`"),
    ),
)]
#[post("/auth/refresh")]
pub(crate) async fn refresh(
    context: web::Data<Context>,
    Json(body): Json<Refresh>,
) -> Result<HttpResponse, Problem> {
    // Not to the end: if the client goes before the commit, its refresh token is best left unspent.
    let pair = crate::app::refresh::refresh(&context, &body.refresh_token).await?;
    Ok(Tokens::from(pair).respond(StatusCode::OK))
}
