use actix_web::{HttpResponse, get, web};
use kernel::{ApiKeyId, Page, Timestamp, UserId};
use platform::access::Admin;
use platform::http::{Query, ok, page_of};
use platform::problem::{Problem, ProblemBody, codes};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::Context;
use crate::domain::audit::Action;
use crate::http::TAG;
use crate::store::audit_log::{self, AuditFilter};

/// The longest target that an entry has, characters.
const MAX_TARGET: usize = 200;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListAudit {
    /// Only what this user did, or a machine with a key of theirs.
    #[param(value_type = Option<String>, format = Uuid)]
    user_id: Option<UserId>,
    /// Only this.
    #[param(
        pattern = "^(account[.]created|account[.]access_changed|account[.]password_changed|\
                   account[.]password_reset|account[.]second_factor_added|account[.]second_factor_removed|\
                   api_key[.]created|api_key[.]revoked|signing_key[.]rotated|product[.]price_changed|\
                   product[.]imported|stock[.]adjusted|payment[.]capture_requested|payment[.]void_requested|\
                   payment[.]refund_requested)$",
        example = "product.price_changed"
    )]
    action: Option<String>,
    /// Only what was done to this account, API key, product, payment (an id), signing key or SKU.
    #[param(max_length = 200, example = "MUG-BLUE")]
    target: Option<String>,
    /// Done then or later; a plain date is its first instant in UTC.
    #[param(value_type = Option<String>, example = "2026-03-01")]
    from: Option<Timestamp>,
    /// Done before then.
    #[param(value_type = Option<String>, example = "2026-04-01")]
    to: Option<Timestamp>,
    /// Items a page, 1 to 100; 20 unless told.
    #[param(minimum = 1, maximum = 100, example = 20)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Something that somebody did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditEntry {
    id: Uuid,
    at: Timestamp,
    by: Doer,
    /// What was done. There may be others in a later release.
    #[schema(example = "product.price_changed")]
    action: String,
    target: Target,
    /// What is to be said of it: before and after, an amount, a reason.
    #[schema(value_type = Object, example = json!({"sku": "MUG-BLUE", "before": {"amount": 850, "currency": "GBP"}, "price": {"amount": 900, "currency": "GBP"}}))]
    details: Value,
    /// Of the request that did it; the log lines of that request have it, too.
    #[schema(required = true)]
    trace_id: Option<String>,
}

/// Who did it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Doer {
    /// `user`; `api_key`: a machine for that user; `operator`: the command line; `shop`: a rule of the shop.
    #[schema(example = "user")]
    kind: String,
    #[schema(required = true)]
    user_id: Option<UserId>,
    /// Of a machine.
    #[schema(required = true)]
    api_key_id: Option<ApiKeyId>,
}

/// To what it was done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Target {
    /// `account`, `api_key`, `signing_key`, `product`, `stock` or `payment`.
    #[schema(example = "product")]
    kind: String,
    /// Of stock the SKU, of an import one of its own.
    #[schema(example = "019357a0-7b2c-7c3e-9f00-5d1c2b3a4f5e")]
    id: String,
}

impl From<audit_log::Model> for AuditEntry {
    fn from(row: audit_log::Model) -> Self {
        Self {
            id: row.id,
            at: Timestamp::from_ms(row.at_ms),
            by: Doer {
                kind: row.by_kind,
                user_id: row.user_id.map(UserId),
                api_key_id: row.api_key_id.map(ApiKeyId),
            },
            action: row.action,
            target: Target { kind: row.target_kind, id: row.target },
            details: row.details,
            trace_id: row.trace_id,
        }
    }
}

/// The audit log, newest first
///
/// Who did what to accounts, roles, keys, prices, stock and money. Nothing in it is ever changed or deleted. What was done in another
/// module comes in a moment later.
#[utoipa::path(
    tag = TAG,
    security(("bearer" = ["admin"]), ("api_key" = ["admin", "auth:read"])),
    params(ListAudit),
    responses(
        (status = 200, body = Page<AuditEntry>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "An unknown or wrong parameter"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "No valid access token"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "Not an admin, or an API key without the scope `auth:read`"),
    ),
)]
#[get("/auth/audit")]
pub(crate) async fn list_audit(
    context: web::Data<Context>,
    _admin: Admin,
    Query(query): Query<ListAudit>,
) -> Result<HttpResponse, Problem> {
    let (limit, cursor) = page_of(query.limit, query.cursor.as_deref())?;
    if let (Some(from), Some(to)) = (query.from, query.to)
        && from > to
    {
        return Err(Problem::new(codes::INVALID_QUERY, "`from` lies after `to`."));
    }
    if query.target.as_ref().is_some_and(|target| target.chars().count() > MAX_TARGET) {
        return Err(Problem::new(codes::INVALID_QUERY, "A `target` has at most 200 characters."));
    }
    let action = query.action.as_deref().map(|name| Action::parse(name).ok_or_else(unknown_action));
    let filter = AuditFilter {
        user_id: query.user_id,
        action: action.transpose()?,
        target: query.target,
        from: query.from,
        to: query.to,
    };
    let page = audit_log::page(context.db.reader(), filter, limit, cursor.as_ref()).await??;
    let items: Vec<AuditEntry> = page.items.into_iter().map(AuditEntry::from).collect();
    Ok(ok(&Page { items, next_cursor: page.next_cursor }))
}

fn unknown_action() -> Problem {
    let known: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
    Problem::new(codes::INVALID_QUERY, format!("There is no such `action`. There are {}.", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_lists_every_action_and_no_other() {
        let documented = serde_json::to_value(ListAudit::into_params(|| None)).unwrap();
        let action =
            documented.as_array().unwrap().iter().find(|parameter| parameter["name"] == "action").unwrap();
        let names: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
        let pattern = action["schema"]["pattern"].as_str().unwrap();
        assert_eq!(pattern, format!("^({})$", names.join("|").replace('.', "[.]")));
    }
}
