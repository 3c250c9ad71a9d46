//! Somebody did something in another module that must be known for good: it goes into the audit log.
//!
//! The modules publish it with the change itself, so nothing is done without its entry; the entry follows within moments, or when this
//! module runs again.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::catalog::{PriceChanged, ProductsImported};
use contracts::event::{Envelope, Event};
use contracts::inventory::StockAdjusted;
use contracts::payments::{MoneyMove, MoneyMoveRequested};
use contracts::users::{UserAccessChanged, UserRegistered};
use platform::bus::{EventHandler, HandleError};
use platform::inbox;
use serde_json::json;

use crate::Context;
use crate::app::audit::{Entry, Occurrence, row};
use crate::domain::audit::Action;
use crate::store::audit_log;

pub(crate) struct KeepAuditLog {
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl EventHandler for KeepAuditLog {
    fn name(&self) -> &'static str {
        "auth.keep_audit_log"
    }

    fn event_types(&self) -> &'static [&'static str] {
        &[
            MoneyMoveRequested::TYPE,
            PriceChanged::TYPE,
            ProductsImported::TYPE,
            StockAdjusted::TYPE,
            UserAccessChanged::TYPE,
            UserRegistered::TYPE,
        ]
    }

    async fn handle(&self, envelope: &Envelope) -> Result<(), HandleError> {
        let Some(entry) = entry_of(envelope)? else {
            return Ok(());
        };
        let tx = self.context.db.begin().await?;
        if !inbox::first_delivery(&tx, envelope, self.name()).await? {
            return Ok(());
        }
        let when = Occurrence {
            id: envelope.id.uuid(),
            at: envelope.occurred_at,
            trace_id: envelope.trace_id.clone(),
        };
        audit_log::append(tx.conn(), row(when, entry)).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// What an event says that somebody did.
fn entry_of(envelope: &Envelope) -> Result<Option<Entry>, serde_json::Error> {
    if let Some(event) = envelope.open::<PriceChanged>().transpose()? {
        let details = json!({ "sku": event.sku, "before": event.before, "price": event.price });
        let target = event.product_id.to_string();
        return Ok(Some(Entry { by: event.by, action: Action::PriceChanged, target, details }));
    }
    if let Some(event) = envelope.open::<ProductsImported>().transpose()? {
        let details =
            json!({ "created": event.created, "first_sku": event.first_sku, "last_sku": event.last_sku });
        let target = event.batch_id.to_string();
        return Ok(Some(Entry { by: event.by, action: Action::ProductsImported, target, details }));
    }
    if let Some(event) = envelope.open::<StockAdjusted>().transpose()? {
        let details = json!({ "change": event.change, "on_hand": event.on_hand, "reason": event.reason });
        let target = event.sku.to_string();
        return Ok(Some(Entry { by: event.by, action: Action::StockAdjusted, target, details }));
    }
    if let Some(event) = envelope.open::<MoneyMoveRequested>().transpose()? {
        let action = match event.movement {
            MoneyMove::Capture => Action::CaptureRequested,
            MoneyMove::Void => Action::VoidRequested,
            MoneyMove::Refund => Action::RefundRequested,
        };
        let details = json!({
            "order_id": event.order_id,
            "movement_id": event.movement_id,
            "amount": event.amount,
            "reason": event.reason,
        });
        return Ok(Some(Entry { by: event.by, action, target: event.payment_id.to_string(), details }));
    }
    if let Some(event) = envelope.open::<UserAccessChanged>().transpose()? {
        let details = json!({ "before": event.before, "role": event.role, "active": event.active });
        let target = event.user_id.to_string();
        return Ok(Some(Entry { by: event.by, action: Action::AccessChanged, target, details }));
    }
    if let Some(event) = envelope.open::<UserRegistered>().transpose()? {
        let details = json!({ "role": event.role });
        let target = event.user_id.to_string();
        return Ok(Some(Entry { by: event.by, action: Action::AccountCreated, target, details }));
    }
    Ok(None)
}
