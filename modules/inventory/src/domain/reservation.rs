//! The life of a reservation, and what its ends do to the stock. The store decides each of these in one conditional
//! statement; the rule stands here once, for the use cases and for the model check (`tests/model`).
//!
//! | before | reserve | release | ship |
//! |---|---|---|---|
//! | none | held, if there is enough | released: the id is burnt | refused |
//! | held | nothing more | released, the pieces are free | shipped, the pieces leave |
//! | released | refused: the id is burnt | nothing more | refused |
//! | shipped | nothing more | refused | refused |

use contracts::inventory::{ReleaseRefusal, ReserveRefusal};

/// Where a reservation stands. `Released` and `Shipped` are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    Held,
    Released,
    Shipped,
}

/// What is to be done with the pieces of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pieces {
    /// Hold them, every line or none.
    Hold,
    /// Nothing: it was done before, or there are none.
    Leave,
    /// Let others have them.
    Free,
    /// Take them out of the house.
    TakeOut,
}

impl State {
    pub const ALL: [State; 3] = [State::Held, State::Released, State::Shipped];

    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Held => "held",
            State::Released => "released",
            State::Shipped => "shipped",
        }
    }

    /// Reads a name; `None` for an unknown one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Holding stock under an id of which this is known.
///
/// # Errors
///
/// The id is burnt: whoever asks was given up for dead.
pub fn reserve(known: Option<State>) -> Result<Pieces, ReserveRefusal> {
    match known {
        None => Ok(Pieces::Hold),
        Some(State::Held | State::Shipped) => Ok(Pieces::Leave),
        Some(State::Released) => Err(ReserveRefusal::Released),
    }
}

/// Giving back what an id holds. An id that is not known is burnt all the same, so that a slow `reserve` cannot hold
/// anything under it later.
///
/// # Errors
///
/// The pieces have left the house.
pub fn release(known: Option<State>) -> Result<Pieces, ReleaseRefusal> {
    match known {
        None | Some(State::Released) => Ok(Pieces::Leave),
        Some(State::Held) => Ok(Pieces::Free),
        Some(State::Shipped) => Err(ReleaseRefusal::Shipped),
    }
}

/// Taking out what an id holds; `None` if it holds nothing.
pub fn ship(known: Option<State>) -> Option<Pieces> {
    (known == Some(State::Held)).then_some(Pieces::TakeOut)
}

/// The stock of one SKU: `0 <= reserved <= on_hand`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Level {
    /// Pieces in the house.
    pub on_hand: i64,
    /// Pieces of those that reservations hold.
    pub reserved: i64,
}

impl Level {
    /// Holds pieces; `None` if so many are not available.
    pub fn hold(self, pieces: i64) -> Option<Self> {
        let reserved = self.reserved.checked_add(pieces)?;
        (reserved <= self.on_hand).then_some(Self { reserved, ..self })
    }

    /// Ends a hold: the pieces are free, or they leave.
    pub fn unhold(self, pieces: i64, take_out: bool) -> Self {
        let leaving = if take_out { pieces } else { 0 };
        Self { on_hand: self.on_hand - leaving, reserved: self.reserved - pieces }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_held_once_and_ends_once() {
        assert_eq!(reserve(None), Ok(Pieces::Hold));
        assert_eq!(reserve(Some(State::Held)), Ok(Pieces::Leave));
        assert_eq!(reserve(Some(State::Released)), Err(ReserveRefusal::Released));
        assert_eq!(release(None), Ok(Pieces::Leave));
        assert_eq!(release(Some(State::Held)), Ok(Pieces::Free));
        assert_eq!(release(Some(State::Released)), Ok(Pieces::Leave));
        assert_eq!(release(Some(State::Shipped)), Err(ReleaseRefusal::Shipped));
        assert_eq!(ship(Some(State::Held)), Some(Pieces::TakeOut));
        for known in [None, Some(State::Released), Some(State::Shipped)] {
            assert_eq!(ship(known), None);
        }
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()), Some(state));
        }
    }

    #[test]
    fn no_more_is_held_than_there_is() {
        let level = Level { on_hand: 5, reserved: 3 };
        assert_eq!(level.hold(2), Some(Level { on_hand: 5, reserved: 5 }));
        assert_eq!(level.hold(3), None);
        assert_eq!(level.hold(i64::MAX), None);
        assert_eq!(level.unhold(3, false), Level { on_hand: 5, reserved: 0 });
        assert_eq!(level.unhold(3, true), Level { on_hand: 2, reserved: 0 });
    }
}
