//! A provider whose calls have a point before and after them, where a test may end the process.

use std::sync::Arc;

use async_trait::async_trait;
use kernel::Money;
use platform::failpoint;

use crate::provider::{Authorization, NoAnswer, PaymentProvider, StatementLine, Verdict};

/// Passes every call on.
pub(super) struct Watched {
    pub(super) provider: Arc<dyn PaymentProvider>,
}

#[async_trait]
impl PaymentProvider for Watched {
    fn name(&self) -> &'static str {
        self.provider.name()
    }

    async fn authorize(&self, call: Authorization<'_>) -> Result<Verdict, NoAnswer> {
        failpoint::provider("authorize", self.provider.authorize(call)).await
    }

    async fn capture(&self, key: &str, charge: &str, amount: Money) -> Result<Verdict, NoAnswer> {
        failpoint::provider("capture", self.provider.capture(key, charge, amount)).await
    }

    async fn void(&self, key: &str, charge: &str) -> Result<Verdict, NoAnswer> {
        failpoint::provider("void", self.provider.void(key, charge)).await
    }

    async fn refund(&self, key: &str, charge: &str, amount: Money) -> Result<Verdict, NoAnswer> {
        failpoint::provider("refund", self.provider.refund(key, charge, amount)).await
    }

    async fn find(&self, key: &str) -> Result<Option<Verdict>, NoAnswer> {
        failpoint::provider("find", self.provider.find(key)).await
    }

    async fn abandon(&self, key: &str) -> Result<Verdict, NoAnswer> {
        failpoint::provider("abandon", self.provider.abandon(key)).await
    }

    async fn statement(&self, after: Option<&str>, limit: u64) -> Result<Vec<StatementLine>, NoAnswer> {
        self.provider.statement(after, limit).await
    }

    async fn statement_of(&self, keys: &[String]) -> Result<Vec<StatementLine>, NoAnswer> {
        self.provider.statement_of(keys).await
    }
}
