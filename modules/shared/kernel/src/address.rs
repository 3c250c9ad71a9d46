//! Postal addresses, as the customer writes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// Where a parcel goes: one text, or named fields of text.
///
/// No two countries agree on the fields of an address, so none is required. Carriers and analytics look for `name`,
/// `line1`, `line2`, `city`, `region`, `postal_code`, `country` and `phone`; any other name is kept as it came.
/// At most 20 fields; names up to 40 and texts up to 500 characters, without control characters but line breaks.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
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

/// Written by hand, because a derived schema knows neither the choice nor the bounds.
impl PartialSchema for Address {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String).max_length(Some(Self::MAX_TEXT));
        let field = text().pattern(Some(r"^[^\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"));
        let line = text().pattern(Some(
            r"^[^\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f]*$",
        ));
        let name = ObjectBuilder::new()
            .schema_type(Type::String)
            .max_length(Some(Self::MAX_NAME))
            .pattern(Some(r"^[^\x00-\x1f\x7f-\x9f]*$"));
        let fields = ObjectBuilder::new()
            .additional_properties(Some(field))
            .property_names(Some(name))
            .min_properties(Some(1))
            .max_properties(Some(Self::MAX_FIELDS));
        OneOfBuilder::new()
            .item(fields)
            .item(line)
            .description(Some(
                "Where a parcel goes: one text, or named fields of text. Carriers and analytics look for `name`, `line1`, `line2`, \
                 `city`, `region`, `postal_code`, `country` and `phone`; any other name is kept as it came.",
            ))
            .examples([serde_json::json!({
                "name": "Ada Lovelace",
                "line1": "12 St James's Square",
                "city": "London",
                "postal_code": "SW1Y 4JH",
                "country": "GB",
            })])
            .into()
    }
}

impl ToSchema for Address {}

impl Address {
    /// The longest text, characters.
    const MAX_TEXT: usize = 500;
    /// The longest name of a field, characters.
    const MAX_NAME: usize = 40;
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
            text.chars().count() <= Self::MAX_TEXT
                && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\r')
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
                    if !text_fits(text)
                        || name.chars().count() > Self::MAX_NAME
                        || name.chars().any(char::is_control)
                    {
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
