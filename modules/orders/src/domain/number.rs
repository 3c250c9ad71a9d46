//! What people call an order.

use kernel::Timestamp;
use uuid::Uuid;

/// Crockford's base 32: no I, L, O or U, so a number can be read out on the telephone.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Ten characters of five bits: the last 50 bits of a UUIDv7 are random (RFC 9562, 5.7).
const CHARACTERS: u32 = 10;

/// `YYMMDD-` and ten characters from the random bits of the order's id: short enough to say, and nothing in it tells
/// how many orders the shop has. The schema keeps it unique.
pub(crate) fn number(id: Uuid, placed_at: Timestamp) -> String {
    let day: String = placed_at.date().chars().skip(2).filter(char::is_ascii_digit).collect();
    let letters: String = (0..CHARACTERS)
        .rev()
        .map(|place| {
            let five_bits = usize::try_from((id.as_u128() >> (place * 5)) & 31).unwrap_or_default();
            ALPHABET.get(five_bits).copied().map_or('0', char::from)
        })
        .collect();
    format!("{day}-{letters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_day_and_fifty_random_bits() {
        let day = Timestamp::parse("2026-11-21T23:59:59Z").unwrap();
        assert_eq!(number(Uuid::from_u128(0), day), "261121-0000000000");
        assert_eq!(number(Uuid::from_u128(u128::MAX), day), "261121-ZZZZZZZZZZ");
        assert_eq!(number(Uuid::from_u128(1), day), "261121-0000000001");
        assert_eq!(number(Uuid::from_u128(32), day), "261121-0000000010");
        // Bits above the fiftieth are time and version: they do not show.
        assert_eq!(number(Uuid::from_u128(1 << 50), day), "261121-0000000000");
    }

    #[test]
    fn letters_that_look_like_digits_are_left_out() {
        assert!(ALPHABET.iter().all(|letter| !b"ILOU".contains(letter)));
    }
}
