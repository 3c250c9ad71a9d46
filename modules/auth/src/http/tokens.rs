use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use contracts::users::Role;
use kernel::{EmailAddress, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::open_session::TokenPair;

/// Who is logged in.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenUser {
    id: UserId,
    email: EmailAddress,
    /// A second name to log in with.
    #[schema(required = true, example = "ada")]
    username: Option<String>,
    #[schema(required = true, example = "Ada Lovelace")]
    name: Option<String>,
    role: Role,
}

/// A pair of tokens, and whose they are.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tokens {
    user: TokenUser,
    /// Send it as `Authorization: Bearer <access_token>`.
    #[schema(example = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSIsImtpZCI6Ii4uLiJ9.eyJ...")]
    access_token: String,
    /// `access_token` again, for clients that read this name.
    #[schema(example = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSIsImtpZCI6Ii4uLiJ9.eyJ...")]
    token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// How long the access token lives, seconds.
    #[schema(example = 900)]
    expires_in: u64,
    /// Gives a new pair, once: `POST /auth/refresh`. Keep it secret.
    #[schema(example = "mTtWm4mTnkPZ0Zq0Hf9zUq0w6rjRr1v4e0bY8m2xqkE")]
    refresh_token: String,
    /// True, and otherwise absent, for an admin who needs a second factor and has none: `user.role` is `customer` until one is
    /// in force (`POST /auth/totp`) and the admin has logged in with it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false, example = true)]
    second_factor_enrolment_required: bool,
}

impl From<TokenPair> for Tokens {
    fn from(pair: TokenPair) -> Self {
        let user = pair.user;
        Self {
            user: TokenUser {
                id: user.id,
                email: user.email,
                username: user.username,
                name: user.name,
                role: user.role,
            },
            token: pair.access_token.clone(),
            access_token: pair.access_token,
            token_type: "Bearer",
            expires_in: pair.expires_in_s,
            refresh_token: pair.refresh_token,
            second_factor_enrolment_required: pair.must_enrol,
        }
    }
}

impl Tokens {
    /// The response; no cache may keep it (RFC 6749, 5.1).
    pub(crate) fn respond(&self, status: StatusCode) -> HttpResponse {
        HttpResponse::build(status).insert_header((header::CACHE_CONTROL, "no-store")).json(self)
    }
}
