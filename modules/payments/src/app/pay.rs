//! Pays an order.

use std::sync::Arc;

use contracts::orders::{BeginPaymentRefusal, PayableOrder};
use contracts::port::PortError;
use contracts::users::Actor;
use kernel::{OrderId, PaymentId, UserId};
use platform::http::Answer;
use platform::idempotency::{Begin, IdempotencyError, KeyedRequest, Ticket, begin};
use platform::lease::{self, LEASE};
use sea_orm::DbErr;

use crate::Context;
use crate::app::outcome::Outcome;
use crate::app::{draft, drive, lease_until, release_order};
use crate::domain::balance::Balance;
use crate::domain::intent;
use crate::domain::movement::Movement;
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

async fn run(
    context: &Arc<Context>,
    request: KeyedRequest,
    wish: &Pay,
) -> Result<Answer<Outcome>, PaymentError> {
    let ticket = match begin::<Outcome>(&context.db, Some(request.clone())).await? {
        Begin::Replay(outcome) => return Ok(Answer::replayed(outcome)),
        Begin::Work(ticket) => ticket,
    };
    // Power fails here: an open key and nothing else. The worker drops it when its lease has run out.
    let work = async {
        let attempt = match begun_before(context, &ticket).await? {
            Some(attempt) => drive::resume(context, attempt).await?,
            None => start(context, PaymentId(ticket.resource_id), wish).await?,
        };
        drive::answer(context, attempt, request).await
    };
    ticket.hold(&context.db, work).await
}

/// The attempt that an earlier request with this key has left behind: it is gone on with, under its own provider key.
async fn begun_before(context: &Context, ticket: &Ticket) -> Result<Option<attempts::Model>, PaymentError> {
    if !ticket.resumed {
        return Ok(None);
    }
    Ok(attempts::first_of(context.db.reader(), PaymentId(ticket.resource_id)).await?)
}

async fn start(
    context: &Context,
    id: PaymentId,
    wish: &Pay,
) -> Result<Option<attempts::Model>, PaymentError> {
    remember(context, id, wish).await?;
    // Power fails here, or while the order is asked: the order may be held by a payment that does not exist. The
    // intent says so; the worker tells the order and forgets intent and key.
    let asking = context.orders.begin_payment(wish.order_id, id, wish.actor);
    let due = match lease::keep(|| renew(context, id), asking).await {
        Ok(due) => due,
        Err(PortError::Refused(refusal)) => {
            forget(context, id).await?;
            return Err(refusal.into());
        }
        Err(silence) => {
            let_go(context, id).await?;
            return Err(PaymentError::Orders(Box::new(silence)));
        }
    };
    open(context, id, wish, &due).await
}

/// Writes down what is wanted, before anybody is asked.
async fn remember(context: &Context, id: PaymentId, wish: &Pay) -> Result<(), PaymentError> {
    let system = context.db.system();
    let now = system.now();
    let tx = context.db.begin().await?;
    let row = intents::Model {
        id: id.uuid(),
        order_id: wish.order_id.uuid(),
        token: wish.token.as_str().to_owned(),
        capture: wish.capture,
        state: intent::State::Open.as_str().to_owned(),
        created_at_ms: now.ms(),
        lease_until_ms: lease_until(system).ms(),
    };
    let again = !intents::insert(tx.conn(), row).await?;
    if again && !intents::resume(tx.conn(), id, lease_until(system)).await? {
        return Err(IdempotencyError::TakenOver.into());
    }
    // Everyone takes the intent first and the key second, so that two of them cannot wait for each other.
    keys::hold(tx.conn(), id.uuid(), now.plus(LEASE)).await?;
    tx.commit().await?;
    Ok(())
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

/// The intent becomes a payment with its first attempt.
async fn open(
    context: &Context,
    id: PaymentId,
    wish: &Pay,
    due: &PayableOrder,
) -> Result<Option<attempts::Model>, PaymentError> {
    if due.amount.amount_minor <= 0 {
        release_order::take_back(context, id, wish.order_id).await?;
        return Err(PaymentError::NothingDue);
    }
    let system = context.db.system();
    let now = system.now();
    let tx = context.db.begin().await?;
    let Some(intent) = intents::find(tx.conn(), id).await? else {
        tx.rollback().await?;
        return overtaken(context, id, wish.order_id).await;
    };
    if !intents::take(tx.conn(), id).await? {
        tx.rollback().await?;
        return overtaken(context, id, wish.order_id).await;
    }
    if !payments::insert(tx.conn(), first_row(context, &intent, due)).await? {
        tx.rollback().await?;
        return Err(refuse_second(context, id, wish.order_id).await?);
    }
    let movement = if intent.capture { Movement::Charge } else { Movement::Authorize };
    let lease = lease_until(system);
    let attempt = attempts::Model {
        token: Some(intent.token),
        actor_id: Some(wish.actor.user_id.uuid()),
        ..draft(system.id(), id, movement, due.amount.amount_minor, now, lease)
    };
    let attempt = attempts::insert(tx.conn(), attempt).await?;
    tx.commit().await?;
    // Power fails here: payment and attempt are open. The worker asks the provider under the attempt's key, fences the
    // key off if the provider never saw it, and tells the order.
    tracing::info!(payment.id = %id, order.id = %wish.order_id, amount = %due.amount, "began a payment");
    Ok(Some(attempt))
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

/// The intent is not ours any more: a twin of this request has made it a payment, or it is being taken back (its lease
/// ran out, or the order was cancelled). In the second case the order may hold our late claim, so it is told.
async fn overtaken(
    context: &Context,
    id: PaymentId,
    order_id: OrderId,
) -> Result<Option<attempts::Model>, PaymentError> {
    if let Some(attempt) = attempts::first_of(context.db.reader(), id).await? {
        return drive::resume(context, attempt).await;
    }
    release_order::take_back(context, id, order_id).await?;
    Err(IdempotencyError::TakenOver.into())
}

/// The order let this payment in, but another one of it is live here: its events are still on their way to the order.
async fn refuse_second(
    context: &Context,
    id: PaymentId,
    order_id: OrderId,
) -> Result<PaymentError, PaymentError> {
    let live = payments::live_of(context.db.reader(), order_id).await?;
    release_order::take_back(context, id, order_id).await?;
    let under_way = live.is_none_or(|live| live.status == Status::Pending.as_str());
    Ok(if under_way { BeginPaymentRefusal::InProgress } else { BeginPaymentRefusal::AlreadyPaid }.into())
}
