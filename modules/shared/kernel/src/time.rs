//! Instants, in whole milliseconds since the Unix epoch, UTC.
//!
//! Databases keep the number (see `docs/adr/0003-time-as-milliseconds.md`), JSON keeps RFC 3339.

use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

/// What time it is. Injected, so that a test can turn the clock.
pub trait Clock: Send + Sync {
    /// Now, in milliseconds.
    fn now(&self) -> Timestamp;
}

/// An instant between the years 1970 and 9999, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, format = DateTime, example = "2026-03-01T12:00:00.000Z")]
pub struct Timestamp(i64);

/// Why a text or number is no instant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("this is not an RFC 3339 time like 2026-03-01T12:00:00Z between 1970 and 9999")]
pub struct TimestampError;

const MILLISECONDS_OF_A_DAY: i64 = 86_400_000;
/// 9999-12-31T23:59:59.999Z, the last instant that RFC 3339 can write.
const LAST_MS: i64 = 253_402_300_799_999;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Timestamp = Timestamp(0);

    /// From milliseconds since the epoch; numbers out of range become the nearest bound.
    pub fn from_ms(ms: i64) -> Self {
        Self(ms.clamp(0, LAST_MS))
    }

    /// Milliseconds since the epoch.
    pub fn ms(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339 with any offset; a plain date means its first instant in UTC.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
        let instant = OffsetDateTime::parse(&full, &Rfc3339).map_err(|_| TimestampError)?;
        let ms = i64::try_from(instant.unix_timestamp_nanos().div_euclid(1_000_000))
            .map_err(|_| TimestampError)?;
        if (0..=LAST_MS).contains(&ms) { Ok(Self(ms)) } else { Err(TimestampError) }
    }

    /// This instant and so much later, at most the last representable one.
    pub fn plus(self, span: Duration) -> Self {
        let ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_ms(self.0.saturating_add(ms))
    }

    /// This instant less so much, at least the epoch.
    pub fn minus(self, span: Duration) -> Self {
        let ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_ms(self.0.saturating_sub(ms))
    }

    /// How long after `earlier` this is; zero if it is not after.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Whole days since the epoch, in UTC; the same expression (`ms / 86400000`) groups by day in SQL.
    pub fn day_number(self) -> i64 {
        self.0 / MILLISECONDS_OF_A_DAY
    }

    /// The first instant of a day counted from the epoch.
    pub fn from_day_number(day: i64) -> Self {
        Self::from_ms(day.saturating_mul(MILLISECONDS_OF_A_DAY))
    }

    /// The UTC date as `2026-03-01`.
    pub fn date(self) -> String {
        self.to_string().chars().take(10).collect()
    }

    /// The UTC month as `2026-03`.
    pub fn month(self) -> String {
        self.to_string().chars().take(7).collect()
    }
}

impl Timestamp {
    /// `2026-03-01T12:00:00.000Z`, in ASCII. A page of a list has forty of them, so none goes through a formatter.
    fn rfc_3339(self) -> [u8; 24] {
        let instant = OffsetDateTime::from_unix_timestamp(self.0.div_euclid(1_000))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (date, time) = (instant.date(), instant.time());
        let [[c1, c2], [y1, y2]] = [date.year() / 100, date.year() % 100].map(pair);
        let [[o1, o2], [d1, d2]] = [u8::from(date.month()), date.day()].map(pair);
        let [[h1, h2], [m1, m2], [s1, s2]] = [time.hour(), time.minute(), time.second()].map(pair);
        let thousandths = self.0.rem_euclid(1_000);
        let [[_, t1], [t2, t3]] = [thousandths / 100, thousandths % 100].map(pair);
        [
            c1, c2, y1, y2, b'-', o1, o2, b'-', d1, d2, b'T', h1, h2, b':', m1, m2, b':', s1, s2, b'.', t1,
            t2, t3, b'Z',
        ]
    }
}

/// The two digits of a number below a hundred.
fn pair(number: impl TryInto<u8>) -> [u8; 2] {
    let number = number.try_into().unwrap_or(0);
    [b'0' + number / 10 % 10, b'0' + number % 10]
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::str::from_utf8(&self.rfc_3339()).unwrap_or_default())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.rfc_3339()).unwrap_or_default())
    }
}

impl std::fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Timestamp {
    type Error = TimestampError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_goes_in_and_comes_out() {
        let instant = Timestamp::parse("2010-12-01T08:26:00Z").unwrap();
        assert_eq!(instant.to_string(), "2010-12-01T08:26:00.000Z");
        assert_eq!(Timestamp::parse("2010-12-01T10:26:00+02:00").unwrap(), instant);
        assert_eq!(Timestamp::parse("2010-12-01").unwrap().to_string(), "2010-12-01T00:00:00.000Z");
        assert_eq!((instant.date().as_str(), instant.month().as_str()), ("2010-12-01", "2010-12"));
        for bad in ["", "yesterday", "2010-13-01T00:00:00Z", "1969-12-31T23:59:59Z", "2010-12-01 08:26"] {
            assert_eq!(Timestamp::parse(bad), Err(TimestampError), "{bad}");
        }
    }

    #[test]
    fn every_digit_is_written() {
        for text in ["1987-06-05T14:32:10.987Z", "1970-01-01T00:00:00.000Z", "2038-11-29T23:59:59.005Z"] {
            let instant = Timestamp::parse(text).unwrap();
            assert_eq!(instant.to_string(), text);
            assert_eq!(serde_json::to_string(&instant).unwrap(), format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Timestamp>(&format!("\"{text}\"")).unwrap(), instant);
        }
    }

    #[test]
    fn arithmetic_stays_in_range() {
        assert_eq!(Timestamp::EPOCH.minus(Duration::from_secs(1)), Timestamp::EPOCH);
        assert_eq!(Timestamp::from_ms(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
        let noon = Timestamp::parse("2026-03-01T12:00:00Z").unwrap();
        assert_eq!(noon.plus(Duration::from_secs(60)).since(noon), Duration::from_secs(60));
        assert_eq!(noon.since(noon.plus(Duration::from_secs(60))), Duration::ZERO);
        assert_eq!(Timestamp::from_day_number(noon.day_number()).date(), "2026-03-01");
    }
}
