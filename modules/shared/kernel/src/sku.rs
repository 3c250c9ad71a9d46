//! The shopkeeper's own name of a product.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

/// A stock keeping unit: 1 to 64 characters of `A-Z 0-9 . _ -`, stored in upper case. Real shops also write a few in
/// words (`BANK CHARGES`): a single space may stand between two of those characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "MUG-BLUE", min_length = 1, max_length = 64, pattern = r"^(?!\.{1,2}$)[A-Za-z0-9._-]+( [A-Za-z0-9._-]+)*$")]
pub struct Sku(String);

/// Why a text is no SKU.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "a SKU is 1 to {} characters of A-Z, 0-9, dot, underscore and hyphen, or words of them with one space between",
    Sku::MAX_LENGTH
)]
pub struct SkuError;

impl Sku {
    /// The longest SKU, in characters.
    pub const MAX_LENGTH: usize = 64;

    /// Reads a SKU in either case; space around it is dropped.
    pub fn parse(text: &str) -> Result<Self, SkuError> {
        let trimmed = text.trim();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b' ');
        // A dot or two dots alone would be a path of their own in a URL.
        let is_path = matches!(trimmed, "." | "..");
        let is_spaced_out = trimmed.contains("  ");
        let has_length = (1..=Self::MAX_LENGTH).contains(&trimmed.len());
        if !has_length || is_path || is_spaced_out || !trimmed.bytes().all(allowed) {
            return Err(SkuError);
        }
        Ok(Self(trimmed.to_ascii_uppercase()))
    }

    /// The upper-case text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Sku {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Sku {
    type Error = SkuError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Sku> for String {
    fn from(sku: Sku) -> Self {
        sku.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sku_is_upper_case_and_safe_in_a_path() {
        assert_eq!(Sku::parse(" 84029e ").unwrap().as_str(), "84029E");
        assert_eq!(Sku::parse("bank charges").unwrap().as_str(), "BANK CHARGES");
        for bad in ["", " ", "a/b", "a  b", "a\tb", "..", ".", "ÄÖ", "a%b", &"x".repeat(65)] {
            assert_eq!(Sku::parse(bad), Err(SkuError), "{bad}");
        }
    }
}
