//! Postal addresses, as the customer writes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

/// Where a parcel goes: one text, or named fields of text.
///
/// No two countries agree on the fields of an address, so none is required. Carriers and analytics look for `name`,
/// `line1`, `line2`, `city`, `region`, `postal_code`, `country` and `phone`; any other name is kept as it came.
/// At most 20 fields; names up to 40 and texts up to 500 characters, without control characters but line breaks.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "Written", into = "Written")]
#[schema(value_type = Object, example = json!({"name": "Ada Lovelace", "line1": "12 St James's Square", "city": "London", "postal_code": "SW1Y 4JH", "country": "GB"}))]
pub struct Address(Written);

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "an address is a text or an object of texts")]
enum Written {
    Text(String),
    Fields(BTreeMap<String, String>),
}

/// Why something is no address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// There is nothing in it, or more than an address holds.
    #[error("an address has 1 to {} fields", Address::MAX_FIELDS)]
    FieldCount,
    /// One field does not fit.
    #[error("`{0}` must be at most 500 characters without control characters, under a name of at most 40")]
    Field(String),
}

impl Address {
    /// The most fields an address may have.
    pub const MAX_FIELDS: usize = 20;

    /// The country as it was written, if a field says it.
    pub fn country(&self) -> Option<&str> {
        match &self.0 {
            Written::Text(_) => None,
            Written::Fields(fields) => {
                fields.get("country").map(|country| country.trim()).filter(|country| !country.is_empty())
            }
        }
    }

    /// An address of which only the country is known, as in orders of the past.
    pub fn of_country(country: &str) -> Result<Self, AddressError> {
        Written::Fields(BTreeMap::from([("country".to_owned(), country.to_owned())])).try_into()
    }
}

impl TryFrom<Written> for Address {
    type Error = AddressError;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let text_fits = |text: &str| {
            text.chars().count() <= 500 && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\r')
        };
        match &written {
            Written::Text(text) if text.trim().is_empty() => return Err(AddressError::FieldCount),
            Written::Text(text) if !text_fits(text) => return Err(AddressError::Field("address".to_owned())),
            Written::Text(_) => {}
            Written::Fields(fields) => {
                if fields.is_empty() || fields.len() > Self::MAX_FIELDS {
                    return Err(AddressError::FieldCount);
                }
                for (name, text) in fields {
                    if !text_fits(text) || name.chars().count() > 40 || name.chars().any(char::is_control) {
                        return Err(AddressError::Field(name.chars().take(40).collect()));
                    }
                }
            }
        }
        Ok(Self(written))
    }
}

impl From<Address> for Written {
    fn from(address: Address) -> Self {
        address.0
    }
}

/// Addresses are personal data: logs see only the country.
impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address").field("country", &self.country()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<Address> {
        serde_json::from_str(json).ok()
    }

    #[test]
    fn an_address_comes_back_as_it_was_written() {
        for json in [r#""12 St James's Square\nLondon""#, r#"{"city":"London","country":"GB","zip":"SW1Y"}"#]
        {
            assert_eq!(serde_json::to_string(&read(json).unwrap()).unwrap(), json);
        }
        assert_eq!(read(r#"{"country":" GB "}"#).unwrap().country(), Some("GB"));
    }

    #[test]
    fn empty_and_boundless_addresses_are_refused() {
        let long = format!(r#"{{"city":"{}"}}"#, "x".repeat(501));
        for json in ["{}", r#""""#, r#"{"city":7}"#, r#"{"city":"\u0000"}"#, "[]", &long] {
            assert!(read(json).is_none(), "{json}");
        }
    }
}
