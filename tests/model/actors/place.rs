//! `orders::app::place_order`.

use orders::domain::placing::{self, Heard, Step};
use orders::domain::undoing;

use crate::actors::undo::{Undo, What};
use crate::coverage::follow;
use crate::world::keys::Begun;
use crate::world::orders::Basket;
use crate::world::{Answer, Call, Id, Reply, World};

/// How often a request begins again before it gives up.
const MAX_ROUNDS: usize = 5;
/// How often it looks whether the key is free before it gives up.
const MAX_WAITS: usize = 8;

#[derive(Debug, Clone)]
pub(crate) struct Place {
    key: Id,
    basket: Basket,
    step: Step,
    /// The id of the order that is to be.
    resource: Id,
    rounds: usize,
    waits: usize,
    undo: Option<Undo>,
    answer: Option<Answer>,
    owes_answer: bool,
}

impl Place {
    pub(crate) fn new(key: Id, basket: Basket) -> Self {
        Self {
            key,
            basket,
            step: Step::OpenKey,
            resource: 0,
            rounds: 0,
            waits: 0,
            undo: None,
            answer: None,
            owes_answer: false,
        }
    }

    pub(crate) fn step(&mut self, world: &mut World) -> bool {
        let Some(heard) = self.carry_out(world) else { return false };
        self.step = follow!(world, placing, self.step, heard);
        match (self.step, self.answer) {
            (Step::Answer, Some(answer)) => {
                world.tell_client(self.key, answer);
                true
            }
            (Step::Answer | Step::Refuse, _) => true,
            _ => false,
        }
    }

    /// `None` if the step has not ended yet.
    fn carry_out(&mut self, world: &mut World) -> Option<Heard> {
        Some(match self.step {
            Step::OpenKey => self.open_key(world)?,
            Step::UndoEarlier | Step::Undo => self.undo(world)?,
            Step::LookAtCart => {
                let cart = self.basket.cart;
                world.commit(Heard::Silent, |world| {
                    if world.orders.cart_is_ordered(cart) { Heard::No } else { Heard::Done }
                })
            }
            Step::Quote => {
                let refused = world.bad_luck > 0 && world.dice.percent(3);
                world.commit(Heard::Silent, |_| if refused { Heard::No } else { Heard::Done })
            }
            Step::Reserve => {
                let (id, lines) = (self.resource, self.basket.lines.clone());
                match world.call(Call::Reserve { reservation: id, order: id, lines }) {
                    Some(Reply::Short) => Heard::Short,
                    Some(Reply::Refused) => Heard::No,
                    Some(_) => Heard::Done,
                    None => Heard::Silent,
                }
            }
            Step::StoreRefusal => {
                self.answer = Some(Answer::Short);
                let id = self.resource;
                world.commit(Heard::Silent, |world| {
                    if !world.orders.keys.complete(id, Answer::Short) {
                        return Heard::No;
                    }
                    if !world.flaws.releases_no_refused {
                        world.orders.abandoned.insert(id);
                    }
                    Heard::Done
                })
            }
            Step::LetGo if world.flaws.releases_no_refused => Heard::Done,
            Step::LetGo => {
                let release = self.undo.get_or_insert_with(|| Undo::listed(self.resource));
                release.step(world)?;
                Heard::Done
            }
            Step::WriteOrder => self.write_order(world)?,
            Step::WithdrawKey => {
                let id = self.resource;
                world.commit(Heard::Silent, |world| {
                    world.orders.keys.withdraw(id);
                    Heard::Done
                })
            }
            Step::Answer | Step::Refuse => return None,
        })
    }

    fn open_key(&mut self, world: &mut World) -> Option<Heard> {
        let (key, now, resource) = (self.key, world.now, world.id());
        if self.rounds == MAX_ROUNDS {
            return Some(Heard::No);
        }
        let begun = world.commit(None, |world| Some(world.orders.keys.begin(key, resource, now)));
        self.undo = None;
        Some(match begun {
            Some(Begun::Busy) if self.waits < MAX_WAITS => {
                self.waits += 1;
                return None;
            }
            Some(Begun::Busy) => Heard::No,
            Some(Begun::Opened(id)) => {
                self.rounds += 1;
                self.resource = id;
                Heard::Opened
            }
            Some(Begun::TakenOver(id)) => {
                self.rounds += 1;
                self.resource = id;
                Heard::TakenOver
            }
            Some(Begun::Stored(answer)) => {
                self.answer = Some(answer);
                Heard::Stored
            }
            None => Heard::Silent,
        })
    }

    fn undo(&mut self, world: &mut World) -> Option<Heard> {
        let undo = self.undo.get_or_insert_with(|| Undo::new(What::Placement, self.resource));
        let end = undo.step(world)?;
        Some(match end {
            undoing::Step::Undone => Heard::Done,
            undoing::Step::NotOpen => Heard::NotOpen,
            _ => Heard::Silent,
        })
    }

    fn write_order(&mut self, world: &mut World) -> Option<Heard> {
        let (key, id) = (self.key, self.resource);
        if self.owes_answer {
            world.orders.keys.complete(id, Answer::Placed(id));
            return Some(Heard::Done);
        }
        self.answer = Some(Answer::Placed(id));
        let basket = self.basket.clone();
        let heard = world.commit(Heard::Silent, |world| {
            if world.write_order(key, id, &basket) { Heard::Done } else { Heard::No }
        });
        if world.flaws.answers_in_another_transaction && heard == Heard::Done {
            self.owes_answer = true;
            return None;
        }
        Some(heard)
    }
}
