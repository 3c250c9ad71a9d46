//! How many pieces of one product an order or a cart line may hold.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

/// A number of pieces, 1 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "i64", into = "i64")]
#[schema(value_type = i64, minimum = 1, maximum = 10000, example = 2)]
pub struct Quantity(i64);

/// Why a number is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a quantity is a whole number from 1 to {max}, not {0}", max = Quantity::MAX)]
pub struct QuantityError(pub i64);

impl Quantity {
    /// The most pieces of one product in one line.
    pub const MAX: i64 = 10_000;

    /// Reads 1 to [`Quantity::MAX`].
    pub fn parse(number: i64) -> Result<Self, QuantityError> {
        if (1..=Self::MAX).contains(&number) { Ok(Self(number)) } else { Err(QuantityError(number)) }
    }

    /// The number.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Quantity {
    type Error = QuantityError;

    fn try_from(number: i64) -> Result<Self, Self::Error> {
        Self::parse(number)
    }
}

impl From<Quantity> for i64 {
    fn from(quantity: Quantity) -> Self {
        quantity.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_lies_between_one_and_ten_thousand() {
        assert_eq!(Quantity::parse(0), Err(QuantityError(0)));
        assert_eq!(Quantity::parse(-1), Err(QuantityError(-1)));
        assert_eq!(Quantity::parse(1).map(Quantity::get), Ok(1));
        assert_eq!(Quantity::parse(10_000).map(Quantity::get), Ok(10_000));
        assert_eq!(Quantity::parse(10_001), Err(QuantityError(10_001)));
    }
}
