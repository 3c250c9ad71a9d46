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
use platform::idempotency::{self, Begin, IdempotencyError, KeyedRequest, Ticket};
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};

use crate::Context;
use crate::app::undo::undo_placement;
use crate::domain::placement::{self, PricedOrder, Refused};
use crate::domain::{number, transitions};
use crate::error::OrdersError;
use crate::store::timeline::Entry;
use crate::store::{lines, orders, timeline};

/// How often a request may find that its attempt was taken over, or has to be undone first, before it gives up.
const MAX_ROUNDS: usize = 5;

/// What came of a placement; stored under its key, so that a retry hears the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Placed(Order),
    InsufficientStock(Vec<Shortage>),
}

/// Why an attempt has no outcome.
enum Stopped {
    /// Refused before any stock was asked for: forgetting the key is enough.
    BeforeStock(OrdersError),
    /// From here on stock may be held, or the answer was lost: the attempt has to be undone.
    StockMayBeHeld(OrdersError),
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
        // Step 0, the intent. Power fails before it: nothing happened. After it: the key is open and its lease runs
        // out; then a retry comes to the second arm, or the worker to the same end.
        match idempotency::begin::<Outcome>(&context.db, Some(keyed(request))).await? {
            Begin::Replay(outcome) => return answer(outcome, true),
            Begin::Work(ticket) if ticket.resumed => {
                // An earlier attempt died, nobody knows how far it came: undo it whole and begin afresh.
                undo_placement(context, OrderId(ticket.resource_id)).await?;
            }
            Begin::Work(ticket) => match attempt(context, request, &ticket).await {
                Ok(outcome) => return answer(outcome, false),
                Err(Stopped::BeforeStock(error)) => {
                    // Power fails before this line: the open key is undone as above; releasing nothing harms nobody.
                    ticket.withdraw(&context.db).await?;
                    return Err(error);
                }
                Err(Stopped::StockMayBeHeld(error)) => {
                    // If the key is no longer open, either the commit did happen though its answer was lost, or
                    // another request took this one over: the next round hears what came of it.
                    if undo_placement(context, OrderId(ticket.resource_id)).await? {
                        return Err(error);
                    }
                }
            },
        }
    }
    Err(IdempotencyError::InProgress.into())
}

async fn attempt(context: &Context, request: &PlaceOrder, ticket: &Ticket) -> Result<Outcome, Stopped> {
    let order_id = OrderId(ticket.resource_id);

    // Steps 1 and 2 only read. Power fails in them: the open key is undone, which releases nothing.
    refuse_ordered_cart(context, request.cart_id).await.map_err(Stopped::BeforeStock)?;
    let priced = price(context, request).await.map_err(Stopped::BeforeStock)?;

    // Step 3 holds the stock, all lines or none. Power fails before, in or after it: the key is open and names the
    // reservation; undoing releases it, and a `reserve` that is still on its way finds its id burnt.
    match context.inventory.reserve(demand(order_id, request, &priced)).await {
        Ok(()) => {}
        Err(PortError::Refused(ReserveRefusal::Insufficient(shortages))) => {
            // Nothing is held. The refusal is the final word for this key, so it is stored.
            let outcome = Outcome::InsufficientStock(shortages);
            store_outcome(context, ticket, &outcome).await.map_err(Stopped::StockMayBeHeld)?;
            return Ok(outcome);
        }
        // This attempt was given up for dead and undone while it still ran.
        Err(PortError::Refused(ReserveRefusal::Released)) => {
            return Err(Stopped::StockMayBeHeld(IdempotencyError::TakenOver.into()));
        }
        Err(silent) => return Err(Stopped::StockMayBeHeld(OrdersError::silent(silent))),
    }

    // Step 4 writes everything at once, if the key is still open. Power fails before the commit: as after step 3.
    // After it: the order stands, the key is done, its event is in the outbox; a retry gets the stored answer.
    write_order(context, request, ticket, priced).await.map(Outcome::Placed).map_err(Stopped::StockMayBeHeld)
}

/// A look before stock is held for nothing; the constraint decides in [`write_order`].
async fn refuse_ordered_cart(context: &Context, cart_id: Option<CartId>) -> Result<(), OrdersError> {
    match cart_id {
        Some(cart) if orders::cart_is_ordered(context.db.reader(), cart).await? => {
            Err(PlaceRefusal::CartAlreadyOrdered.into())
        }
        _ => Ok(()),
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

async fn store_outcome(context: &Context, ticket: &Ticket, outcome: &Outcome) -> Result<(), OrdersError> {
    let tx = context.db.begin().await?;
    ticket.complete(&tx, outcome).await?;
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
    let mut tx = context.db.begin().await?;
    if !orders::insert(tx.conn(), row).await? {
        // Another request has turned the cart into an order since step 1.
        tx.rollback().await?;
        return Err(PlaceRefusal::CartAlreadyOrdered.into());
    }
    lines::insert_all(tx.conn(), line_rows).await?;
    let created = Entry {
        actor_id: Some(request.customer),
        data: Some(serde_json::json!({"number": order.number, "total": order.total})),
        ..Entry::new(order.id, "created", order.created_at)
    };
    timeline::append(tx.conn(), vec![created]).await?;
    tx.emit(&OrderCreated { order: order.clone(), cart_id: request.cart_id }).await?;
    ticket.complete(&tx, &Outcome::Placed(order.clone())).await?;
    tx.commit().await?;
    tracing::info!(order.id = %order.id, order.number = %order.number, lines = order.items.len(), "placed order");
    Ok(order)
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
