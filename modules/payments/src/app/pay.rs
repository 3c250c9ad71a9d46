//! Pays an order.

use std::sync::Arc;

use contracts::orders::{BeginPaymentRefusal, PayableOrder};
use contracts::port::PortError;
use contracts::users::Actor;
use kernel::{OrderId, PaymentId, UserId};
use platform::batch::{Batch, Ran};
use platform::http::Answer;
use platform::idempotency::{Begin, IdempotencyError, KeyedRequest, Ticket, begin};
use platform::lease::{self, LEASE};
use sea_orm::DbErr;

use crate::Context;
use crate::app::drive::Driven;
use crate::app::outcome::Outcome;
use crate::app::{draft, drive, lease_until, release_order};
use crate::domain::balance::Balance;
use crate::domain::driving::Manner;
use crate::domain::intent;
use crate::domain::movement::Movement;
use crate::domain::paying::{Heard, Step, next};
use crate::domain::status::Status;
use crate::domain::text::Token;
use crate::error::PaymentError;
use crate::store::{attempts, intents, keys, payments};

/// A wish to pay.
pub(crate) struct Pay {
    pub(crate) order_id: OrderId,
    pub(crate) token: Token,
    /// Take the money at once, or only hold it.
    pub(crate) capture: bool,
    pub(crate) actor: Actor,
}

/// Goes on to the end even if the client does not wait for it.
pub(crate) async fn pay(
    context: Arc<Context>,
    request: KeyedRequest,
    wish: Pay,
) -> Result<Answer<Outcome>, PaymentError> {
    let system = context.db.system().clone();
    system.to_the_end(async move { run(&context, request, &wish).await }).await?
}

async fn run(context: &Context, request: KeyedRequest, wish: &Pay) -> Result<Answer<Outcome>, PaymentError> {
    let (ticket, heard) = match begin::<Outcome>(&context.db, Some(request.clone())).await? {
        Begin::Replay(outcome) => return Ok(Answer::replayed(outcome)),
        Begin::Work(ticket) if ticket.resumed => (ticket, Heard::TakenOver),
        Begin::Work(ticket) => (ticket, Heard::Opened),
    };
    let id = PaymentId(ticket.resource_id);
    let paying = Paying {
        context,
        request,
        ticket: &ticket,
        wish,
        id,
        intent: None,
        due: None,
        payment: None,
        attempt: None,
        fresh: None,
        end: None,
    };
    // On the heap: the frames of all steps together are more than a stack of a debug build has room for.
    let work = Box::pin(paying.run(next(Step::OpenKey, heard)));
    ticket.hold(&context.db, work).await
}

/// A request under its open key: what it has learned so far.
struct Paying<'a> {
    context: &'a Context,
    request: KeyedRequest,
    ticket: &'a Ticket,
    wish: &'a Pay,
    /// The payment that is to be.
    id: PaymentId,
    /// The wish as it is written down.
    intent: Option<intents::Model>,
    /// What the order said.
    due: Option<PayableOrder>,
    /// The payment, if it was opened here.
    payment: Option<payments::Model>,
    attempt: Option<attempts::Model>,
    /// A key that was opened anew while an answer was awaited.
    fresh: Option<Ticket>,
    /// What the client will hear, if nothing else comes between.
    end: Option<Result<Answer<Outcome>, PaymentError>>,
}

impl Paying<'_> {
    /// Carries out one step after the other along the table of [`crate::domain::paying`].
    async fn run(mut self, first: Step) -> Result<Answer<Outcome>, PaymentError> {
        let mut step = first;
        loop {
            let done = match step {
                // Only read.
                Step::FindAttempt | Step::FindTwin => self.find_attempt().await,
                // Power fails before it: an open key and nothing else, which the worker drops. After it: the intent
                // says what may be; the worker tells the order and forgets intent and key.
                Step::Remember => self.remember().await,
                // Power fails before, in or after it: the order may be held by a payment that does not exist. The
                // intent says so.
                Step::AskOrder => self.ask_order().await,
                Step::Forget => forget(self.context, self.id).await.map(|()| Heard::Done),
                Step::LetGo => let_go(self.context, self.id).await.map(|()| Heard::Done),
                // Power fails before its commit: as above. After it: payment and attempt are open. The worker asks the
                // provider under the attempt's key, fences the key off if the provider never saw it, and tells the order.
                Step::Open => self.open().await,
                Step::TakeBack => {
                    let taken_back =
                        release_order::take_back(self.context, self.id, self.wish.order_id).await;
                    taken_back.map(|()| Heard::Done)
                }
                // Power fails after it: the worker drives the attempt when this lease has run out.
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

    /// The attempt that another request with this key has made: it is gone on with, under its own provider key.
    async fn find_attempt(&mut self) -> Result<Heard, PaymentError> {
        self.attempt = attempts::first_of(self.context.db.reader(), self.id).await?;
        Ok(if self.attempt.is_some() { Heard::Done } else { Heard::Nothing })
    }

    async fn remember(&mut self) -> Result<Heard, PaymentError> {
        let row = new_intent(self.context, self.id, self.wish);
        let remembered = match !self.ticket.resumed && remember_first(self.context, self.ticket, &row).await?
        {
            true => Remembered::Written(row),
            false => remember(self.context, row).await?,
        };
        Ok(match remembered {
            Remembered::Written(row) => {
                self.intent = Some(row);
                Heard::Done
            }
            Remembered::Resumed => Heard::Done,
            Remembered::PaymentAlready => Heard::Begun,
            Remembered::TakenOver => self.refuse(Heard::No, IdempotencyError::TakenOver),
        })
    }

    async fn ask_order(&mut self) -> Result<Heard, PaymentError> {
        let (context, id) = (self.context, self.id);
        let asking = context.orders.begin_payment(self.wish.order_id, id, self.wish.actor);
        Ok(match lease::keep(|| renew(context, id), asking).await {
            Ok(due) if due.amount.amount_minor <= 0 => {
                self.refuse(Heard::NothingDue, PaymentError::NothingDue)
            }
            Ok(due) => {
                self.due = Some(due);
                Heard::Done
            }
            Err(PortError::Refused(refusal)) => self.refuse(Heard::No, refusal),
            Err(silence) => self.refuse(Heard::Silent, PaymentError::Orders(Box::new(silence))),
        })
    }

    async fn open(&mut self) -> Result<Heard, PaymentError> {
        let Some(due) = &self.due else { return Ok(Heard::Silent) };
        let intent = match self.intent.take() {
            None => intents::find(self.context.db.reader(), self.id).await?,
            written => written,
        };
        let opened = match intent {
            Some(intent) => open(self.context, intent, self.wish, due).await?,
            None => Opened::NotOurs,
        };
        match opened {
            Opened::Attempt(payment, attempt) => {
                (self.payment, self.attempt) = (Some(payment), Some(attempt));
                Ok(Heard::Done)
            }
            Opened::NotOurs => Ok(self.refuse(Heard::Nothing, IdempotencyError::TakenOver)),
            Opened::Second => {
                let refusal = self.refusal_of_a_second().await?;
                Ok(self.refuse(Heard::Second, refusal))
            }
        }
    }

    /// The order let this payment in, but another one of it is live here: its events are still on their way to the order.
    async fn refusal_of_a_second(&self) -> Result<BeginPaymentRefusal, PaymentError> {
        let live = payments::live_of(self.context.db.reader(), self.wish.order_id).await?;
        let under_way = live.is_none_or(|live| live.status == Status::Pending.as_str());
        Ok(if under_way { BeginPaymentRefusal::InProgress } else { BeginPaymentRefusal::AlreadyPaid })
    }

    async fn resume(&mut self) -> Result<Heard, PaymentError> {
        let Some(found) = self.attempt.take() else { return Ok(Heard::No) };
        self.attempt = drive::resume(self.context, found).await?;
        Ok(if self.attempt.is_some() { Heard::Done } else { Heard::No })
    }

    async fn drive(&mut self) -> Result<Heard, PaymentError> {
        let Some(attempt) = &self.attempt else { return Ok(Heard::No) };
        let driven = match &self.payment {
            Some(opened) => Box::pin(drive::drive_of(self.context, opened, attempt, Manner::Waiting)).await?,
            None => Box::pin(drive::drive(self.context, attempt, Manner::Waiting)).await?,
        };
        Ok(match driven {
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

/// A wish as it is written down, with a new lease.
fn new_intent(context: &Context, id: PaymentId, wish: &Pay) -> intents::Model {
    let system = context.db.system();
    intents::Model {
        id: id.uuid(),
        order_id: wish.order_id.uuid(),
        token: wish.token.as_str().to_owned(),
        capture: wish.capture,
        state: intent::State::Open.as_str().to_owned(),
        created_at_ms: system.now().ms(),
        lease_until_ms: lease_until(system).ms(),
    }
}

/// Writes down what is wanted, before anybody is asked, under a key that nobody else has had. False if somebody may have had it since, which
/// has to be looked at more closely; then nothing was written.
async fn remember_first(context: &Context, ticket: &Ticket, row: &intents::Model) -> Result<bool, DbErr> {
    let mut batch = Batch::default();
    // Everyone takes the intent first and the key second, so that two of them cannot wait for each other.
    let written = intents::insert_in(&mut batch, row.clone());
    let held = ticket.hold_untouched_in(&mut batch, context.db.system().now().plus(LEASE));
    batch.after(held, written);
    Ok(matches!(context.db.commit(batch).await?, Ran::Done(_)))
}

/// What became of a wish that was to be written down.
enum Remembered {
    Written(intents::Model),
    /// It was written down before.
    Resumed,
    /// A twin of this request has made it a payment since it was looked for.
    PaymentAlready,
    /// It is being taken back, or its key is gone.
    TakenOver,
}

/// The same under a key that others may have had.
async fn remember(context: &Context, row: intents::Model) -> Result<Remembered, PaymentError> {
    let (system, id) = (context.db.system(), PaymentId(row.id));
    let tx = context.db.begin().await?;
    let is_new = intents::insert(tx.conn(), row.clone()).await?;
    if !is_new && !intents::resume(tx.conn(), id, lease_until(system)).await? {
        tx.rollback().await?;
        return Ok(Remembered::TakenOver);
    }
    // Looked for after the insert, which waits for a twin that is turning the same intent into a payment: written again,
    // the intent would be taken back one day, and the order told that a payment came to nothing that is under way.
    if payments::find(tx.conn(), payments::Scope::All, id).await?.is_some() {
        tx.rollback().await?;
        return Ok(Remembered::PaymentAlready);
    }
    keys::hold(tx.conn(), id.uuid(), system.now().plus(LEASE)).await?;
    tx.commit().await?;
    Ok(if is_new { Remembered::Written(row) } else { Remembered::Resumed })
}

/// The intent belongs to this request for a while longer.
async fn renew(context: &Context, id: PaymentId) -> Result<(), DbErr> {
    let lease = lease_until(context.db.system());
    intents::resume(context.db.writer(), id, lease).await.map(|_is_open| ())
}

/// Leaves intent and key to whoever comes first, the client with the same key again or the worker: nobody waits for a request that
/// has been answered.
async fn let_go(context: &Context, id: PaymentId) -> Result<(), PaymentError> {
    let now = context.db.system().now();
    let tx = context.db.begin().await?;
    if intents::resume(tx.conn(), id, now).await? {
        keys::hold(tx.conn(), id.uuid(), now).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// The order holds nothing for this payment: it never was.
async fn forget(context: &Context, id: PaymentId) -> Result<(), PaymentError> {
    let tx = context.db.begin().await?;
    // Only if the intent is still ours: a twin of this request may have been luckier with the order.
    if intents::take(tx.conn(), id).await? {
        keys::withdraw(tx.conn(), id.uuid()).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// What became of an intent that was to become a payment.
#[expect(clippy::large_enum_variant, reason = "there is one of it at a time")]
enum Opened {
    Attempt(payments::Model, attempts::Model),
    /// A twin of this request has made it a payment, or it is being taken back (its lease ran out, or the order was
    /// cancelled). In the second case the order may hold our late claim.
    NotOurs,
    /// Another payment of the order is live.
    Second,
}

/// The intent becomes a payment with its first attempt, if it is still open.
async fn open(
    context: &Context,
    intent: intents::Model,
    wish: &Pay,
    due: &PayableOrder,
) -> Result<Opened, PaymentError> {
    let (system, id) = (context.db.system(), PaymentId(intent.id));
    let payment = first_row(context, &intent, due);
    let movement = if intent.capture { Movement::Charge } else { Movement::Authorize };
    let (now, lease) = (system.now(), lease_until(system));
    let attempt = attempts::Model {
        token: Some(intent.token),
        actor_id: Some(wish.actor.user_id.uuid()),
        ..draft(system.id(), id, movement, due.amount.amount_minor, now, lease)
    };
    let mut batch = Batch::default();
    intents::take_in(&mut batch, id);
    let opened = payments::insert_in(&mut batch, payment.clone());
    attempts::insert_in(&mut batch, attempt.clone());
    match context.db.commit(batch).await? {
        Ran::Done(_) => {}
        Ran::Refused(refused) if refused == opened => return Ok(Opened::Second),
        Ran::Refused(_) => return Ok(Opened::NotOurs),
    }
    tracing::info!(payment.id = %id, order.id = %wish.order_id, amount = %due.amount, "began a payment");
    Ok(Opened::Attempt(payment, attempt))
}

fn first_row(context: &Context, intent: &intents::Model, due: &PayableOrder) -> payments::Model {
    let balance = Balance::pending(due.amount.amount_minor);
    payments::Model {
        id: intent.id,
        order_id: intent.order_id,
        user_id: UserId::uuid(due.user_id),
        provider: context.provider.name().to_owned(),
        charge: None,
        status: balance.status.as_str().to_owned(),
        currency: due.amount.currency.to_string(),
        amount_minor: balance.amount_minor,
        authorized_minor: balance.authorized_minor,
        captured_minor: balance.captured_minor,
        refunded_minor: balance.refunded_minor,
        refund_pending_minor: balance.refund_pending_minor,
        release_due: false,
        called_off_at_ms: None,
        created_at_ms: intent.created_at_ms,
        updated_at_ms: intent.created_at_ms,
    }
}
