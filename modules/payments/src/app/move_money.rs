//! Captures, voids and refunds on an admin's request: the part that is the same for all three.

use std::sync::Arc;

use contracts::audit::By;
use kernel::{Money, PaymentId, UserId};
use platform::db::Tx;
use platform::http::Answer;
use platform::idempotency::{Begin, IdempotencyError, KeyedRequest, Ticket, begin};
use platform::lease::LEASE;
use uuid::Uuid;

use crate::Context;
use crate::app::drive::Driven;
use crate::app::outcome::Outcome;
use crate::app::{announce_move, asked_minor, capture, draft, drive, lease_until, refund, void};
use crate::domain::driving::Manner;
use crate::domain::movement::Movement;
use crate::domain::moving::{Heard, Step, next};
use crate::domain::text::Reason;
use crate::error::PaymentError;
use crate::store::{attempts, keys, payments};

/// What an admin asks for.
#[derive(Debug, Clone)]
pub(crate) enum Wish {
    /// All that is held, or part of it.
    Capture {
        amount: Option<Money>,
    },
    Void,
    /// All that is left, or part of it.
    Refund {
        amount: Option<Money>,
        reason: Option<Reason>,
    },
}

/// What an admin asks for, of which payment.
pub(crate) struct MoveMoney {
    pub(crate) payment_id: PaymentId,
    pub(crate) wish: Wish,
    pub(crate) by: By,
}

/// Goes on to the end even if the client does not wait for it.
pub(crate) async fn move_money(
    context: Arc<Context>,
    request: KeyedRequest,
    order: MoveMoney,
) -> Result<Answer<Outcome>, PaymentError> {
    let system = context.db.system().clone();
    system.to_the_end(async move { run(&context, request, order).await }).await?
}

async fn run(
    context: &Arc<Context>,
    request: KeyedRequest,
    order: MoveMoney,
) -> Result<Answer<Outcome>, PaymentError> {
    // What is wrong whatever the balance is refused before the key is opened.
    let payment = payments::find(context.db.reader(), payments::Scope::All, order.payment_id).await?;
    let payment = payment.ok_or(PaymentError::NotFound(order.payment_id))?;
    let asked = match &order.wish {
        Wish::Capture { amount } | Wish::Refund { amount, .. } => asked_minor(&payment, *amount)?,
        Wish::Void => None,
    };
    let (ticket, heard) = match begin::<Outcome>(&context.db, Some(request.clone())).await? {
        Begin::Replay(outcome) => return Ok(Answer::replayed(outcome)),
        Begin::Work(ticket) if ticket.resumed => (ticket, Heard::TakenOver),
        Begin::Work(ticket) => (ticket, Heard::Opened),
    };
    let resource_id = ticket.resource_id;
    let order = &order;
    let moving =
        Moving { context, request, order, asked, resource_id, attempt: None, fresh: None, end: None };
    // On the heap: the frames of all steps together are more than a stack of a debug build has room for.
    let work = Box::pin(moving.run(next(Step::OpenKey, heard)));
    ticket.hold(&context.db, work).await
}

/// A request under its open key: what it has learned so far.
struct Moving<'a> {
    context: &'a Context,
    request: KeyedRequest,
    order: &'a MoveMoney,
    /// Minor units, if the request names an amount.
    asked: Option<i64>,
    /// The id of the attempt that is to be.
    resource_id: Uuid,
    attempt: Option<attempts::Model>,
    /// A key that was opened anew while an answer was awaited.
    fresh: Option<Ticket>,
    /// What the client will hear, if nothing else comes between.
    end: Option<Result<Answer<Outcome>, PaymentError>>,
}

impl Moving<'_> {
    /// Carries out one step after the other along the table of [`crate::domain::moving`].
    async fn run(mut self, first: Step) -> Result<Answer<Outcome>, PaymentError> {
        let mut step = first;
        loop {
            let done = match step {
                // Power fails before its commit: an open key and nothing else, which the worker drops when its lease has
                // run out. After it: the attempt is open, a refund's amount is set aside. The worker carries it out.
                Step::Open => self.open().await,
                Step::Resume => self.resume().await,
                Step::Drive => self.drive().await,
                Step::AwaitAnswer => self.await_answer().await,
                Step::WithdrawKey => self.withdraw_key().await,
                Step::OpenKey | Step::Answer | Step::Refuse => {
                    return self.end.unwrap_or_else(|| Err(IdempotencyError::TakenOver.into()));
                }
            };
            let heard = done.unwrap_or_else(|error| {
                self.end = Some(Err(error));
                Heard::Silent
            });
            step = next(step, heard);
        }
    }

    /// Keeps the cause for the client.
    fn refuse(&mut self, heard: Heard, error: impl Into<PaymentError>) -> Heard {
        self.end = Some(Err(error.into()));
        heard
    }

    /// Writes the attempt, before the provider is asked. The payment's row is locked first and the key second, by
    /// everyone, so that a refusal and the withdrawal of its key are one with what they were decided on.
    async fn open(&mut self) -> Result<Heard, PaymentError> {
        let system = self.context.db.system();
        let mut tx = self.context.db.begin().await?;
        let payment = payments::find_for_update(tx.conn(), self.order.payment_id).await?;
        let payment = payment.ok_or(PaymentError::NotFound(self.order.payment_id))?;
        if let Some(attempt) = attempts::find(tx.conn(), self.resource_id).await? {
            tx.rollback().await?;
            self.attempt = Some(attempt);
            return Ok(Heard::Begun);
        }
        keys::hold(tx.conn(), self.resource_id, system.now().plus(LEASE)).await?;
        match allow(&tx, &payment, &self.order.wish, self.asked).await {
            Ok((movement, amount_minor)) => {
                let attempt = attempts::Model {
                    reason: self.reason(),
                    actor_id: self.order.by.user_id().map(UserId::uuid),
                    ..draft(
                        self.resource_id,
                        PaymentId(payment.id),
                        movement,
                        amount_minor,
                        system.now(),
                        lease_until(system),
                    )
                };
                let attempt = attempts::insert(tx.conn(), attempt).await?;
                announce_move(&mut tx, &payment, &attempt, self.order.by).await?;
                self.attempt = Some(attempt);
                tx.commit().await?;
                Ok(Heard::Done)
            }
            Err(PaymentError::Database(error)) => Err(error.into()),
            Err(refusal) => {
                keys::withdraw(tx.conn(), self.resource_id).await?;
                tx.commit().await?;
                Ok(self.refuse(Heard::No, refusal))
            }
        }
    }

    fn reason(&self) -> Option<String> {
        match &self.order.wish {
            Wish::Refund { reason, .. } => reason.clone().map(Reason::into_text),
            Wish::Capture { .. } | Wish::Void => None,
        }
    }

    async fn resume(&mut self) -> Result<Heard, PaymentError> {
        let Some(found) = self.attempt.take() else { return Ok(Heard::No) };
        self.attempt = drive::resume(self.context, found).await?;
        Ok(if self.attempt.is_some() { Heard::Done } else { Heard::No })
    }

    async fn drive(&mut self) -> Result<Heard, PaymentError> {
        let Some(attempt) = &self.attempt else { return Ok(Heard::No) };
        Ok(match Box::pin(drive::drive(self.context, attempt, Manner::Waiting)).await? {
            Driven::Settled(settled) => {
                self.end = Some(Ok(Answer::fresh(settled.answer().await)));
                Heard::Done
            }
            Driven::Overtaken => Heard::No,
            Driven::Unanswered => self.refuse(Heard::Silent, PaymentError::ProviderSilent),
        })
    }

    /// Who ends the attempt stores the answer with the key, in the same transaction; it is waited for, within bounds.
    async fn await_answer(&mut self) -> Result<Heard, PaymentError> {
        Ok(match begin::<Outcome>(&self.context.db, Some(self.request.clone())).await? {
            Begin::Replay(outcome) => {
                self.end = Some(Ok(Answer::replayed(outcome)));
                Heard::Stored
            }
            Begin::Work(ticket) if ticket.resumed => {
                self.refuse(Heard::TakenOver, IdempotencyError::TakenOver)
            }
            Begin::Work(ticket) => {
                self.fresh = Some(ticket);
                self.refuse(Heard::Opened, IdempotencyError::TakenOver)
            }
        })
    }

    async fn withdraw_key(&mut self) -> Result<Heard, PaymentError> {
        if let Some(ticket) = &self.fresh {
            ticket.withdraw(&self.context.db).await?;
        }
        Ok(Heard::Done)
    }
}

async fn allow(
    tx: &Tx,
    payment: &payments::Model,
    wish: &Wish,
    asked_minor: Option<i64>,
) -> Result<(Movement, i64), PaymentError> {
    match wish {
        Wish::Capture { .. } => Ok((Movement::Capture, capture::allow(tx, payment, asked_minor).await?)),
        Wish::Void => Ok((Movement::Void, void::allow(tx, payment).await?)),
        Wish::Refund { .. } => Ok((Movement::Refund, refund::allow(tx, payment, asked_minor).await?)),
    }
}
