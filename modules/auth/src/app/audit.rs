//! Notes in the audit log what is done here, in the transaction that does it.

use contracts::audit::By;
use kernel::{ApiKeyId, Timestamp, UserId};
use platform::db::Tx;
use platform::trace;
use sea_orm::DbErr;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::audit::Action;
use crate::store::audit_log;

/// Something that was done. Its details name no secret and no address: an entry is kept for good.
pub(crate) struct Entry {
    pub(crate) by: By,
    pub(crate) action: Action,
    /// To what: an id, a SKU.
    pub(crate) target: String,
    pub(crate) details: Value,
}

impl Entry {
    /// Of what is done to an account, with nothing more to say about it.
    pub(crate) fn of_account(by: By, action: Action, account: UserId) -> Self {
        Self { by, action, target: account.to_string(), details: json!({}) }
    }
}

/// Notes it now, under the trace of the request.
pub(crate) async fn note(tx: &Tx, entry: Entry) -> Result<(), DbErr> {
    let system = tx.system();
    let when = Occurrence { id: system.id(), at: system.now(), trace_id: trace::current() };
    audit_log::append(tx.conn(), row(when, entry)).await
}

/// When something was done, and under which trace.
pub(crate) struct Occurrence {
    /// Of an event, the event's.
    pub(crate) id: Uuid,
    pub(crate) at: Timestamp,
    pub(crate) trace_id: Option<String>,
}

pub(crate) fn row(when: Occurrence, entry: Entry) -> audit_log::Model {
    let Entry { by, action, target, details } = entry;
    audit_log::Model {
        id: when.id,
        at_ms: when.at.ms(),
        by_kind: by.kind().to_owned(),
        user_id: by.user_id().map(UserId::uuid),
        api_key_id: by.api_key_id().map(ApiKeyId::uuid),
        action: action.as_str().to_owned(),
        target_kind: action.target_kind().to_owned(),
        target,
        details,
        trace_id: when.trace_id,
    }
}
