//! Money in whole minor units. No floats anywhere: 0.1 + 0.2 must be 0.3.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

/// An ISO 4217 alphabetic currency code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "GBP", pattern = "^[A-Z]{3}$")]
pub struct Currency([u8; 3]);

/// Why a text is no currency code.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a currency is three letters of ISO 4217, like GBP")]
pub struct CurrencyError;

/// Currencies whose minor unit is not a hundredth (ISO 4217 list one, column "Mnr").
const NO_MINOR_UNIT: [&[u8; 3]; 16] = [
    b"BIF", b"CLP", b"DJF", b"GNF", b"ISK", b"JPY", b"KMF", b"KRW", b"PYG", b"RWF", b"UGX", b"UYI", b"VND",
    b"VUV", b"XAF", b"XOF",
];
const THOUSANDTHS: [&[u8; 3]; 7] = [b"BHD", b"IQD", b"JOD", b"KWD", b"LYD", b"OMR", b"TND"];

impl Currency {
    /// Pounds sterling, the currency of the demo shop.
    pub const GBP: Currency = Currency(*b"GBP");

    /// Reads three letters, in either case.
    pub fn parse(text: &str) -> Result<Self, CurrencyError> {
        let bytes: [u8; 3] = text.trim().as_bytes().try_into().map_err(|_| CurrencyError)?;
        if !bytes.iter().all(u8::is_ascii_alphabetic) {
            return Err(CurrencyError);
        }
        Ok(Self(bytes.map(|byte| byte.to_ascii_uppercase())))
    }

    /// The three letters.
    pub fn as_str(&self) -> &str {
        // The bytes are ASCII letters by construction, so the fallback is never taken.
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// How many decimal digits the minor unit stands for: 2 for GBP, 0 for JPY, 3 for KWD.
    pub fn decimals(&self) -> u32 {
        if NO_MINOR_UNIT.contains(&&self.0) {
            0
        } else if THOUSANDTHS.contains(&&self.0) {
            3
        } else {
            2
        }
    }
}

impl std::fmt::Debug for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Display for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for Currency {
    type Error = CurrencyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

/// An amount in minor units (pence for GBP) with its currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Minor units: 2999 is 29.99 GBP.
    #[serde(rename = "amount")]
    #[schema(rename = "amount", example = 2999)]
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: Currency,
}

/// Why a computation or a text gives no amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MoneyError {
    /// Two currencies met in one sum.
    #[error("{left} and {right} cannot be added")]
    CurrencyMismatch { left: Currency, right: Currency },
    /// The result does not fit 64 bits.
    #[error("the amount is too large")]
    Overflow,
    /// Not a decimal number like `29.99`.
    #[error("`{0}` is not a decimal amount like 29.99")]
    NotDecimal(String),
    /// More digits than the currency's minor unit can hold.
    #[error("{text} {currency} is finer than the smallest unit of {currency}")]
    TooFine { text: String, currency: Currency },
}

impl Money {
    /// An amount of minor units.
    pub fn new(amount_minor: i64, currency: Currency) -> Self {
        Self { amount_minor, currency }
    }

    /// Nothing, in a currency.
    pub fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// Reads a decimal like `29.99`, exactly. Only files speak this form; JSON carries minor units.
    pub fn parse_decimal(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let not_decimal = || MoneyError::NotDecimal(text.to_owned());
        let trimmed = text.trim();
        let (negative, digits) = match trimmed.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, trimmed),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty()
            || !is_digits(whole)
            || !is_digits(fraction)
            || (digits.contains('.') && fraction.is_empty())
        {
            return Err(not_decimal());
        }
        let decimals = usize::try_from(currency.decimals()).map_err(|_| MoneyError::Overflow)?;
        let significant = fraction.trim_end_matches('0');
        if significant.len() > decimals {
            return Err(MoneyError::TooFine { text: trimmed.to_owned(), currency });
        }
        let minor: i64 =
            format!("{whole}{significant:0<decimals$}").parse().map_err(|_| MoneyError::Overflow)?;
        Ok(Self::new(if negative { -minor } else { minor }, currency))
    }

    /// The amount as a decimal text without the currency: `29.99`.
    pub fn to_decimal(self) -> String {
        let scale = 10_u64.pow(self.currency.decimals());
        let sign = if self.amount_minor < 0 { "-" } else { "" };
        let absolute = self.amount_minor.unsigned_abs();
        let (whole, fraction) = (absolute / scale, absolute % scale);
        match self.currency.decimals() {
            0 => format!("{sign}{whole}"),
            2 => format!("{sign}{whole}.{fraction:02}"),
            _ => format!("{sign}{whole}.{fraction:03}"),
        }
    }

    /// The sum of two amounts of one currency.
    pub fn checked_add(self, other: Money) -> Result<Money, MoneyError> {
        self.same_currency(other)?;
        let amount_minor = self.amount_minor.checked_add(other.amount_minor).ok_or(MoneyError::Overflow)?;
        Ok(Self { amount_minor, ..self })
    }

    /// The difference of two amounts of one currency.
    pub fn checked_sub(self, other: Money) -> Result<Money, MoneyError> {
        self.same_currency(other)?;
        let amount_minor = self.amount_minor.checked_sub(other.amount_minor).ok_or(MoneyError::Overflow)?;
        Ok(Self { amount_minor, ..self })
    }

    /// The amount so many times.
    pub fn checked_mul(self, times: i64) -> Result<Money, MoneyError> {
        let amount_minor = self.amount_minor.checked_mul(times).ok_or(MoneyError::Overflow)?;
        Ok(Self { amount_minor, ..self })
    }

    fn same_currency(self, other: Money) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            Ok(())
        } else {
            Err(MoneyError::CurrencyMismatch { left: self.currency, right: other.currency })
        }
    }
}

impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.to_decimal(), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gbp(text: &str) -> Result<i64, MoneyError> {
        Money::parse_decimal(text, Currency::GBP).map(|money| money.amount_minor)
    }

    #[test]
    fn a_decimal_is_read_exactly_or_refused() {
        assert_eq!(gbp("29.99"), Ok(2999));
        assert_eq!(gbp("29.9"), Ok(2990));
        assert_eq!(gbp("29"), Ok(2900));
        assert_eq!(gbp("0.100"), Ok(10));
        assert_eq!(gbp("-3.05"), Ok(-305));
        assert!(matches!(gbp("0.001"), Err(MoneyError::TooFine { .. })));
        for bad in ["", ".", "1.", ".5", "1e3", "1,000", "NaN", "--1", "+1"] {
            assert!(matches!(gbp(bad), Err(MoneyError::NotDecimal(_))), "{bad}");
        }
        assert_eq!(gbp("99999999999999999999"), Err(MoneyError::Overflow));
    }

    #[test]
    fn currencies_differ_in_their_minor_unit() {
        let yen = Currency::parse("jpy").unwrap();
        assert_eq!(Money::parse_decimal("120", yen).unwrap().amount_minor, 120);
        assert!(Money::parse_decimal("120.5", yen).is_err());
        let dinar = Currency::parse("KWD").unwrap();
        assert_eq!(Money::parse_decimal("1.005", dinar).unwrap().to_decimal(), "1.005");
        assert_eq!(Money::new(-5, Currency::GBP).to_string(), "-0.05 GBP");
    }

    #[test]
    fn sums_are_checked() {
        let one = Money::new(1, Currency::GBP);
        assert_eq!(Money::new(i64::MAX, Currency::GBP).checked_add(one), Err(MoneyError::Overflow));
        assert_eq!(Money::new(i64::MIN, Currency::GBP).checked_sub(one), Err(MoneyError::Overflow));
        assert_eq!(Money::new(i64::MAX, Currency::GBP).checked_mul(2), Err(MoneyError::Overflow));
        let dollar = Money::new(1, Currency::parse("USD").unwrap());
        assert!(matches!(one.checked_add(dollar), Err(MoneyError::CurrencyMismatch { .. })));
    }

    #[test]
    fn json_carries_minor_units() {
        let json = serde_json::to_string(&Money::new(2999, Currency::GBP)).unwrap();
        assert_eq!(json, r#"{"amount":2999,"currency":"GBP"}"#);
        assert!(serde_json::from_str::<Money>(r#"{"amount":29.99,"currency":"GBP"}"#).is_err());
        assert!(serde_json::from_str::<Money>(r#"{"amount":1,"currency":"POUND"}"#).is_err());
    }
}
