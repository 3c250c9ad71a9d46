//! Postal addresses.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

/// Where a parcel goes. Every field is at most 200 characters, without control characters.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// Who receives it.
    #[schema(example = "Ada Lovelace")]
    pub name: String,
    /// Street and number.
    #[schema(example = "12 St James's Square")]
    pub line1: String,
    /// Flat, floor, company.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line2: Option<String>,
    /// Town.
    #[schema(example = "London")]
    pub city: String,
    /// State, county or region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Postcode, where the country has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "SW1Y 4JH")]
    pub postal_code: Option<String>,
    /// Country: its name or ISO 3166 code.
    #[schema(example = "GB")]
    pub country: String,
    /// For the carrier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// Which field of an address is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field} must be 1 to 200 characters without control characters")]
pub struct AddressError {
    /// The name of the field.
    pub field: &'static str,
}

impl Address {
    /// Checks every field; the first one at fault is named.
    pub fn check(&self) -> Result<(), AddressError> {
        let fields = [
            ("name", Some(&self.name)),
            ("line1", Some(&self.line1)),
            ("line2", self.line2.as_ref()),
            ("city", Some(&self.city)),
            ("region", self.region.as_ref()),
            ("postal_code", self.postal_code.as_ref()),
            ("country", Some(&self.country)),
            ("phone", self.phone.as_ref()),
        ];
        for (field, text) in fields {
            let fits = |text: &String| {
                !text.trim().is_empty() && text.chars().count() <= 200 && !text.chars().any(char::is_control)
            };
            if text.is_some_and(|text| !fits(text)) {
                return Err(AddressError { field });
            }
        }
        Ok(())
    }
}

/// Addresses are personal data: logs see only the country.
impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address").field("country", &self.country).finish_non_exhaustive()
    }
}
