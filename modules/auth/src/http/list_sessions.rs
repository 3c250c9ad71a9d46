use actix_web::{HttpResponse, get, web};
use kernel::{Page, SessionId, Timestamp};
use platform::access::Principal;
use platform::http::{Query, ok, page_of};
use platform::problem::{Problem, ProblemBody};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Context;
use crate::http::TAG;
use crate::store::sessions;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// Items a page, 1 to 100; 20 unless told.
    #[param(minimum = 1, maximum = 100, example = 20)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// One login of yours that goes on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Session {
    id: SessionId,
    /// Whether it is the one of this request.
    #[schema(example = true)]
    current: bool,
    /// When it was opened.
    created_at: Timestamp,
    /// When it last got a new pair of tokens.
    refreshed_at: Timestamp,
    /// When it ends unless it is refreshed before.
    expires_at: Timestamp,
    /// What the client called itself when it logged in.
    #[schema(required = true, example = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")]
    user_agent: Option<String>,
    /// Where it logged in from.
    #[schema(required = true, example = "203.0.113.7")]
    client_address: Option<String>,
}

impl Session {
    fn seen_from(current: SessionId, row: sessions::Model) -> Self {
        let id = SessionId(row.id);
        Self {
            id,
            current: id == current,
            created_at: Timestamp::from_ms(row.created_at_ms),
            refreshed_at: Timestamp::from_ms(row.refreshed_at_ms),
            expires_at: Timestamp::from_ms(row.refresh_expires_at_ms),
            user_agent: row.user_agent,
            client_address: row.client_address,
        }
    }
}

/// Your sessions that have neither ended nor expired, newest first
#[utoipa::path(
    tag = TAG,
    security(("bearer" = [])),
    params(ListParams),
    responses(
        (status = 200, body = Page<Session>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "An unknown or wrong parameter"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "An API key: only a person may"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "`unavailable`"),
    ),
)]
#[get("/auth/sessions")]
pub(crate) async fn list_sessions(
    context: web::Data<Context>,
    caller: Principal,
    Query(query): Query<ListParams>,
) -> Result<HttpResponse, Problem> {
    let (limit, cursor) = page_of(query.limit, query.cursor.as_deref())?;
    let now = context.db.system().now();
    let page = sessions::page_of(context.db.reader(), caller.user_id, limit, cursor.as_ref(), now).await??;
    Ok(ok(&page.map(|row| Session::seen_from(caller.session_id, row))))
}
