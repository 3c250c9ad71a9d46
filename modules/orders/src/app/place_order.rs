//! Places an order: the saga that keeps this module's orders and inventory's stock in step.
//!
//! The row of the `Idempotency-Key` is the saga's memory. It is written first, names the id of the order that is to
//! be, and is `open` until the transaction that writes the order sets it to `done`. So whoever finds the key knows:
//!
//! | key | order | stock | what happens next |
//! |---|---|---|---|
//! | none | none | none held | a request may begin |
//! | open, younger than its lease | none | perhaps held | its request is at work; others with the key wait |
//! | open, older than its lease | none | perhaps held | its request died: undone by a retry or the worker |
//! | done | written, unless refused for want of stock | held by the order | every retry gets the stored answer |
//!
//! Which step follows which answer stands in the table of [`crate::domain::placing`], which is pure and checked on its
//! own, through crashes between any two steps. This file carries the steps out.
//!
//! The id of the order is also the id of its reservation. Undoing ([`crate::app::undo`]) closes the key first and
//! then releases, which burns that id in inventory: a slow request that was given up for dead can neither reserve nor
//! commit any more. The same request sent again then begins afresh, under a new id.

use std::sync::Arc;

use contracts::catalog::QuoteRefusal;
use contracts::inventory::{ReserveRefusal, ReserveStock, Shortage, StockLine};
use contracts::orders::{
    Order, OrderCreated, OrderStatus, PaymentStatus, PlaceOrder, PlaceRefusal, PlacedOrder,
};
use contracts::port::PortError;
use kernel::{CartId, OrderId, Quantity, ReservationId, UserId};
use platform::batch::{Batch, Ran};
use platform::db::Committed;
use platform::group_commit::Shape;
use platform::idempotency::{self, Begin, IdempotencyError, KeyedRequest, Ticket};
use platform::problem::chain;
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};

use crate::Context;
use crate::app::undo::{Intent, release_abandoned, undo};
use crate::domain::placement::{self, PricedOrder, Refused};
use crate::domain::placing::{Heard, Step, next};
use crate::domain::{number, transitions};
use crate::error::OrdersError;
use crate::store::timeline::Entry;
use crate::store::{abandoned_reservations, lines, orders, timeline};

/// How often a request may find that its attempt was taken over, or has to be undone first, before it gives up.
const MAX_ROUNDS: usize = 5;

/// What came of a placement; stored under its key, so that a retry hears the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Placed(Order),
    InsufficientStock(Vec<Shortage>),
}

/// Places an order, or says again what became of it. Goes on to its end even if the client hangs up.
pub(crate) async fn place_order(
    context: &Arc<Context>,
    request: PlaceOrder,
) -> Result<PlacedOrder, OrdersError> {
    placement::check_request(&request.lines)?;
    let working = context.clone();
    context.db.system().to_the_end(async move { place(&working, &request).await }).await?
}

async fn place(context: &Context, request: &PlaceOrder) -> Result<PlacedOrder, OrdersError> {
    for _round in 0..MAX_ROUNDS {
        // The intent. Power fails before it: nothing happened. After it: the key is open and its lease runs out; then a
        // retry finds it taken over, or the worker comes, and both undo it.
        let (ticket, heard) = match idempotency::begin::<Outcome>(&context.db, Some(keyed(request))).await? {
            Begin::Replay(outcome) => return answer(outcome, true),
            Begin::Work(ticket) if ticket.resumed => (ticket, Heard::TakenOver),
            Begin::Work(ticket) => (ticket, Heard::Opened),
        };
        let attempt = Attempt { context, request, ticket: &ticket, priced: None, end: None };
        // On the heap: the frames of all steps together are more than a stack of a debug build has room for.
        let work = Box::pin(attempt.run(next(Step::OpenKey, heard)));
        let ended = ticket.hold(&context.db, work).await;
        if let Some(end) = ended {
            return end.and_then(|outcome| answer(outcome, false));
        }
    }
    Err(IdempotencyError::InProgress.into())
}

/// One attempt under an open key: what it has learned so far.
struct Attempt<'a> {
    context: &'a Context,
    request: &'a PlaceOrder,
    ticket: &'a Ticket,
    /// What the catalogue said.
    priced: Option<PricedOrder>,
    /// What the client will hear, if nothing else comes between.
    end: Option<Result<Outcome, OrdersError>>,
}

impl Attempt<'_> {
    /// Carries out one step after the other. `None`: the key is no longer this attempt's, and says what came of it.
    async fn run(mut self, first: Step) -> Option<Result<Outcome, OrdersError>> {
        let mut step = first;
        loop {
            let heard = match step {
                Step::OpenKey => return None,
                // Power fails in it: see there.
                Step::UndoEarlier | Step::Undo => self.undo().await,
                // These two only read. Power fails in them: the open key is undone, which releases nothing.
                Step::LookAtCart => self.look_at_cart().await,
                Step::Quote => self.quote().await,
                // Holds the stock, all lines or none. Power fails before, in or after it: the key is open and names the
                // reservation; undoing releases it, and a `reserve` that is still on its way finds its id burnt.
                Step::Reserve => self.reserve().await,
                // Nothing is held, and that is the final word for this key. Power fails before the commit: the open key
                // is undone. After it: a retry hears the refusal, and the worker lets the reservation go.
                Step::StoreRefusal => self.store_refusal().await,
                // Burns the id: a `reserve` that is still on its way holds nothing any more. Power fails before it: as
                // after the commit.
                Step::LetGo => self.let_go().await,
                // Writes everything at once, if the key is still open. Power fails before the commit: as after
                // `Reserve`. After it: the order stands, the key is done, its event is in the outbox; a retry gets the
                // stored answer.
                Step::WriteOrder => self.write_order().await,
                // Power fails before it: the open key is undone; releasing nothing harms nobody.
                Step::WithdrawKey => self.withdraw_key().await,
                Step::Answer | Step::Refuse => {
                    return Some(self.end.unwrap_or_else(|| Err(IdempotencyError::InProgress.into())));
                }
            };
            step = next(step, heard);
        }
    }

    fn order_id(&self) -> OrderId {
        OrderId(self.ticket.resource_id)
    }

    /// Keeps the cause for the client.
    fn fail(&mut self, heard: Heard, error: impl Into<OrdersError>) -> Heard {
        self.end = Some(Err(error.into()));
        heard
    }

    async fn undo(&mut self) -> Heard {
        let order_id = self.order_id();
        let reservation_id = ReservationId(order_id.uuid());
        match undo(self.context, Intent::Placement, reservation_id, order_id).await {
            Ok(true) => Heard::Done,
            Ok(false) => Heard::NotOpen,
            Err(error) => self.fail(Heard::Silent, error),
        }
    }

    /// A look before stock is held for nothing; the constraint decides in [`Self::write_order`].
    async fn look_at_cart(&mut self) -> Heard {
        let Some(cart) = self.request.cart_id else { return Heard::Done };
        match orders::cart_is_ordered(self.context.db.reader(), cart).await {
            Ok(false) => Heard::Done,
            Ok(true) => self.fail(Heard::No, PlaceRefusal::CartAlreadyOrdered),
            Err(error) => self.fail(Heard::Silent, error),
        }
    }

    async fn quote(&mut self) -> Heard {
        match price(self.context, self.request).await {
            Ok(priced) => {
                self.priced = Some(priced);
                Heard::Done
            }
            Err(refused @ OrdersError::Refused(_)) => self.fail(Heard::No, refused),
            Err(error) => self.fail(Heard::Silent, error),
        }
    }

    async fn reserve(&mut self) -> Heard {
        let Some(priced) = &self.priced else { return Heard::Silent };
        let demand = demand(self.order_id(), self.request, priced);
        match self.context.inventory.reserve(demand).await {
            Ok(()) => Heard::Done,
            Err(PortError::Refused(ReserveRefusal::Insufficient(shortages))) => {
                self.end = Some(Ok(Outcome::InsufficientStock(shortages)));
                Heard::Short
            }
            // This attempt was given up for dead and undone while it still ran.
            Err(PortError::Refused(ReserveRefusal::Released)) => {
                self.fail(Heard::No, IdempotencyError::TakenOver)
            }
            Err(silent) => self.fail(Heard::Silent, OrdersError::silent(silent)),
        }
    }

    async fn store_refusal(&mut self) -> Heard {
        let Some(Ok(outcome)) = &self.end else { return Heard::Silent };
        match store_refusal(self.context, self.ticket, outcome).await {
            Ok(()) => Heard::Done,
            Err(error @ OrdersError::Idempotency(_)) => self.fail(Heard::No, error),
            Err(error) => self.fail(Heard::Silent, error),
        }
    }

    async fn let_go(&mut self) -> Heard {
        let order_id = self.order_id();
        let released = release_abandoned(self.context, ReservationId(order_id.uuid()), order_id).await;
        if let Err(error) = released {
            tracing::warn!(order.id = %order_id, cause = %chain(&error), "a refused reservation is left to the worker");
        }
        Heard::Done
    }

    async fn write_order(&mut self) -> Heard {
        let Some(priced) = self.priced.take() else { return Heard::Silent };
        match write_order(self.context, self.request, self.ticket, priced).await {
            Ok(order) => {
                self.end = Some(Ok(Outcome::Placed(order)));
                Heard::Done
            }
            Err(error @ (OrdersError::Refused(_) | OrdersError::Idempotency(_))) => {
                self.fail(Heard::No, error)
            }
            Err(error) => self.fail(Heard::Silent, error),
        }
    }

    async fn withdraw_key(&mut self) -> Heard {
        match self.ticket.withdraw(&self.context.db).await {
            Ok(_was_open) => Heard::Done,
            Err(error) => self.fail(Heard::Silent, error),
        }
    }
}

/// Asks the catalogue what the lines cost.
async fn price(context: &Context, request: &PlaceOrder) -> Result<PricedOrder, OrdersError> {
    let wanted: Vec<_> = request.lines.iter().map(|line| line.product.clone()).collect();
    let quoted = context.catalog.quote(&wanted).await.map_err(|error| match error {
        PortError::Refused(refusal) => refused_quote(request, refusal).into(),
        silent @ PortError::Unavailable { .. } => OrdersError::silent(silent),
    })?;
    Ok(placement::price(&request.lines, quoted, request.expected_total, context.settings.currency)?)
}

fn refused_quote(request: &PlaceOrder, refusal: QuoteRefusal) -> Refused {
    let (refusal, products) = match refusal {
        QuoteRefusal::Unknown(products) => (PlaceRefusal::UnknownProduct(products.clone()), products),
        QuoteRefusal::Retired(products) => (PlaceRefusal::RetiredProduct(products.clone()), products),
    };
    Refused { refusal, lines: placement::lines_naming(&request.lines, &products) }
}

fn demand(order_id: OrderId, request: &PlaceOrder, priced: &PricedOrder) -> ReserveStock {
    let quantities = request.lines.iter().map(|line| line.quantity);
    let lines = priced
        .lines
        .iter()
        .zip(quantities)
        .map(|(line, quantity): (_, Quantity)| StockLine { sku: line.product.sku.clone(), quantity })
        .collect();
    ReserveStock { reservation_id: ReservationId(order_id.uuid()), order_id, lines }
}

/// One transaction: the stored refusal, and the note that whatever comes of the reservation is to be released.
async fn store_refusal(context: &Context, ticket: &Ticket, outcome: &Outcome) -> Result<(), OrdersError> {
    let tx = context.db.begin().await?;
    ticket.complete(&tx, outcome).await?;
    let (reservation_id, order_id) = (ReservationId(ticket.resource_id), OrderId(ticket.resource_id));
    abandoned_reservations::remember(tx.conn(), reservation_id, order_id, tx.system().now()).await?;
    tx.commit().await?;
    Ok(())
}

/// One transaction: order, lines, first timeline entry, event, and the stored answer.
async fn write_order(
    context: &Context,
    request: &PlaceOrder,
    ticket: &Ticket,
    priced: PricedOrder,
) -> Result<Order, OrdersError> {
    let row = order_row(context, request, ticket, &priced)?;
    let line_rows = line_rows(&row, priced);
    let order = row.order(&line_rows)?;
    let created = Entry {
        actor_id: Some(request.customer),
        data: Some(serde_json::json!({"number": order.number, "total": order.total})),
        ..Entry::new(order.id, "created", order.created_at)
    };
    let mut batch = Batch::default();
    let place = orders::insert_in(&mut batch, row);
    lines::insert_all_in(&mut batch, line_rows);
    timeline::append_in(&mut batch, created);
    ticket.complete_in(&mut batch, &Outcome::Placed(order.clone()))?;
    batch.emit(context.db.system(), &OrderCreated { order: order.clone(), cart_id: request.cart_id })?;
    match commit(context, order.items.len(), batch).await? {
        Ran::Done(_) => {}
        // Another request has turned the cart into an order since the look.
        Ran::Refused(refused) if refused == place => return Err(PlaceRefusal::CartAlreadyOrdered.into()),
        Ran::Refused(_) => return Err(IdempotencyError::TakenOver.into()),
    }
    tracing::info!(order.id = %order.id, order.number = %order.number, lines = order.items.len(), "placed order");
    Ok(order)
}

/// More lines than this are written alone: each number is a statement of its own, which the database plans and keeps.
const MOST_LINES_WITH_OTHERS: usize = 4;

/// New orders have no row in common, so they share the wait for the disk.
async fn commit(context: &Context, lines: usize, batch: Batch) -> Result<Ran<Committed>, DbErr> {
    match lines <= MOST_LINES_WITH_OTHERS {
        true => context.db.commit_with_others(Shape("orders.write_order", lines), batch).await,
        false => context.db.commit(batch).await,
    }
}

fn order_row(
    context: &Context,
    request: &PlaceOrder,
    ticket: &Ticket,
    priced: &PricedOrder,
) -> Result<orders::Model, DbErr> {
    let now = context.db.system().now();
    let status = OrderStatus::Pending;
    let address = request.shipping_address.as_ref();
    let shipping_address =
        address.map(serde_json::to_value).transpose().map_err(|error| DbErr::Custom(error.to_string()))?;
    Ok(orders::Model {
        id: ticket.resource_id,
        number: number::number(ticket.resource_id, now),
        user_id: Some(request.customer.uuid()),
        customer_ref: None,
        status: status.as_str().to_owned(),
        payment_status: PaymentStatus::Unpaid.as_str().to_owned(),
        payment_id: None,
        payment_begun_at_ms: None,
        payment_due_at_ms: Some(now.plus(context.payment_window()).ms()),
        total_minor: priced.total.amount_minor,
        refunded_minor: 0,
        currency: priced.total.currency.as_str().to_owned(),
        shipping_address,
        country: address.and_then(|address| address.country()).map(str::to_owned),
        cart_id: request.cart_id.map(CartId::uuid),
        reservation_id: transitions::holds_stock(status).then_some(ticket.resource_id),
        pending_reservation_id: None,
        reactivating_since_ms: None,
        imported: false,
        version: 1,
        created_at_ms: now.ms(),
        updated_at_ms: now.ms(),
    })
}

fn line_rows(order: &orders::Model, priced: PricedOrder) -> Vec<lines::Model> {
    (1..)
        .zip(priced.lines)
        .map(|(line_no, line)| lines::Model {
            order_id: order.id,
            line_no,
            sku: line.product.sku.as_str().to_owned(),
            product_id: Some(line.product.product_id.uuid()),
            name: line.product.name,
            quantity: line.quantity,
            unit_price_minor: line.product.unit_price.amount_minor,
            line_total_minor: line.line_total.amount_minor,
        })
        .collect()
}

/// The key in the scope of its customer; the same scope as [`platform::access::Principal::scope`].
fn keyed(request: &PlaceOrder) -> KeyedRequest {
    KeyedRequest {
        principal: scope_of(request.customer),
        route: request.key.route.clone(),
        key: request.key.key.clone(),
        request_hash: request.key.request_hash.clone(),
    }
}

fn scope_of(customer: UserId) -> String {
    format!("user:{customer}")
}

fn answer(outcome: Outcome, replayed: bool) -> Result<PlacedOrder, OrdersError> {
    match outcome {
        Outcome::Placed(order) => Ok(PlacedOrder { order, replayed }),
        Outcome::InsufficientStock(shortages) => Err(OrdersError::Insufficient { shortages, replayed }),
    }
}
