//! What the audit log knows of: the things that somebody may do, and to what.

/// What was done. Names are only ever added: entries are kept for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    AccountCreated,
    /// Another role, switched off, or on again.
    AccessChanged,
    PasswordChanged,
    PasswordReset,
    SecondFactorAdded,
    SecondFactorRemoved,
    ApiKeyCreated,
    ApiKeyRevoked,
    SigningKeyRotated,
    PriceChanged,
    ProductsImported,
    StockAdjusted,
    CaptureRequested,
    VoidRequested,
    RefundRequested,
}

impl Action {
    pub(crate) const ALL: [Action; 15] = [
        Action::AccountCreated,
        Action::AccessChanged,
        Action::PasswordChanged,
        Action::PasswordReset,
        Action::SecondFactorAdded,
        Action::SecondFactorRemoved,
        Action::ApiKeyCreated,
        Action::ApiKeyRevoked,
        Action::SigningKeyRotated,
        Action::PriceChanged,
        Action::ProductsImported,
        Action::StockAdjusted,
        Action::CaptureRequested,
        Action::VoidRequested,
        Action::RefundRequested,
    ];

    /// The name on the wire and in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Action::AccountCreated => "account.created",
            Action::AccessChanged => "account.access_changed",
            Action::PasswordChanged => "account.password_changed",
            Action::PasswordReset => "account.password_reset",
            Action::SecondFactorAdded => "account.second_factor_added",
            Action::SecondFactorRemoved => "account.second_factor_removed",
            Action::ApiKeyCreated => "api_key.created",
            Action::ApiKeyRevoked => "api_key.revoked",
            Action::SigningKeyRotated => "signing_key.rotated",
            Action::PriceChanged => "product.price_changed",
            Action::ProductsImported => "product.imported",
            Action::StockAdjusted => "stock.adjusted",
            Action::CaptureRequested => "payment.capture_requested",
            Action::VoidRequested => "payment.void_requested",
            Action::RefundRequested => "payment.refund_requested",
        }
    }

    /// Reads a name; `None` for an unknown one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }

    /// What it was done to: the part before the dot.
    pub(crate) fn target_kind(self) -> &'static str {
        self.as_str().split_once('.').map_or("", |(kind, _)| kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_a_name_of_its_own_and_a_target() {
        for action in Action::ALL {
            assert_eq!(Action::parse(action.as_str()), Some(action));
            assert!(
                ["account", "api_key", "signing_key", "product", "stock", "payment"]
                    .contains(&action.target_kind())
            );
        }
        assert_eq!(Action::parse("account"), None);
    }
}
