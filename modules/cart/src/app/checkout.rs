//! Turns a customer's cart into an order, once a key, whatever breaks on the way.

use contracts::catalog::ProductRef;
use contracts::orders::{NewOrderLine, Order, PlaceOrder, PlaceRefusal, PlacementKey};
use contracts::port::PortError;
use kernel::{Address, Money, UserId};
use platform::http::Answer;
use platform::idempotency::{self, IdempotencyError};
use platform::problem::chain;

use crate::Context;
use crate::app::ATTEMPTS;
use crate::app::settle::settle;
use crate::error::CartError;
use crate::store::carts::{self, For};
use crate::store::{cart_lines, checkouts};

/// The scope of the keys in `orders`.
const ROUTE: &str = "POST /cart/checkout";

/// What a customer asks for.
#[derive(Debug, Clone)]
pub(crate) struct Checkout {
    pub(crate) customer: UserId,
    /// The `Idempotency-Key`.
    pub(crate) key: String,
    pub(crate) shipping_address: Address,
    pub(crate) expected_total: Option<Money>,
}

/// A checkout that has been written down.
struct Attempt {
    row: checkouts::Model,
    /// Whether this request was the first with its key.
    is_first: bool,
}

/// The steps, and what becomes of a process that dies between them:
///
/// 1. The key is written down with the cart and its lines. Dead after it: a retry finds the row and asks for the same.
/// 2. `orders` places the order, or gives the one that this key has placed before. Dead during it: `orders` finishes or
///    undoes the placement by itself, and a retry learns which.
/// 3. The cart is closed. Dead before it: `order.created` closes it ([`super::on_order_created`]).
pub(crate) async fn checkout(context: &Context, request: Checkout) -> Result<Answer<Order>, CartError> {
    // The hash leaves the cart out: it is gone when a retry comes.
    let request_hash = idempotency::hash(&(&request.shipping_address, &request.expected_total));
    let attempt = write_down(context, &request, &request_hash).await?;
    let lines = attempt.row.asked()?.into_iter().map(|line| NewOrderLine {
        product: ProductRef::Sku(line.sku),
        quantity: line.quantity,
        expected_price: None,
    });
    let cart_id = attempt.row.cart_id();
    let order = PlaceOrder {
        customer: request.customer,
        key: PlacementKey { route: ROUTE.to_owned(), key: request.key, request_hash },
        lines: lines.collect(),
        expected_total: request.expected_total,
        shipping_address: Some(request.shipping_address),
        cart_id: Some(cart_id),
    };
    match context.orders.place(order).await {
        Ok(placed) => {
            // An order that is older than our memory of its key was made of another cart. (Or another request with the
            // key, in this very moment, has placed it: then that request closes the cart, or the event does.)
            let is_of_this_cart = !(attempt.is_first && placed.replayed);
            if is_of_this_cart && let Err(error) = settle(context, cart_id, &placed.order).await {
                // The order stands, and that is what the customer must hear.
                tracing::warn!(cart.id = %cart_id, cause = %chain(&error), "a cart is left to the event to close");
            }
            tracing::info!(cart.id = %cart_id, order.id = %placed.order.id, replayed = placed.replayed, "checked out");
            Ok(Answer { value: placed.order, replayed: placed.replayed })
        }
        Err(PortError::Refused(refusal)) => Err(refused(context, &attempt.row, refusal).await),
        // Whether there is an order is unknown: the row stays as it is, so that a retry asks for the same lines.
        Err(PortError::Unavailable { module, source }) => {
            Err(PortError::Unavailable { module, source }.into())
        }
    }
}

/// The lines of this key: those of an earlier attempt, or what is in the cart now.
async fn write_down(context: &Context, request: &Checkout, request_hash: &str) -> Result<Attempt, CartError> {
    for _attempt in 0..ATTEMPTS {
        let now = context.db.system().now();
        let tx = context.db.begin().await?;
        let known = checkouts::find(tx.conn(), request.customer, &request.key).await?;
        let Some(mut row) = known else {
            let cart = carts::open_of(tx.conn(), request.customer, For::Update).await?;
            let basket = match &cart {
                Some(cart) => Some(cart_lines::of(tx.conn(), cart.id).await?),
                None => None,
            };
            let full = cart.zip(basket.filter(|basket| !basket.is_empty()));
            let Some((cart, basket)) = full else {
                // Since the look for the key a twin may have written it down, ordered the cart and closed it.
                if checkouts::find(tx.conn(), request.customer, &request.key).await?.is_none() {
                    return Err(CartError::Empty);
                }
                tx.rollback().await?;
                continue;
            };
            let row = checkouts::Model {
                user_id: request.customer.uuid(),
                idempotency_key: request.key.clone(),
                request_hash: request_hash.to_owned(),
                cart_id: cart.id,
                lines: checkouts::written(&basket)?,
                outcome: checkouts::UNKNOWN.to_owned(),
                created_at_ms: now.ms(),
                touched_at_ms: now.ms(),
            };
            if checkouts::create(tx.conn(), row.clone()).await? {
                tx.commit().await?;
                return Ok(Attempt { row, is_first: true });
            }
            // A twin was faster: the next round finds its row.
            tx.rollback().await?;
            continue;
        };
        if row.request_hash != request_hash {
            return Err(IdempotencyError::KeyReused.into());
        }
        let cart = carts::find(tx.conn(), row.cart_id(), For::Update).await?.filter(carts::Model::is_open);
        if let (checkouts::REFUSED, Some(cart)) = (row.outcome.as_str(), cart) {
            // Nothing came of the key so far and its cart is still there: the client has put right what was refused.
            let basket = cart_lines::of(tx.conn(), cart.id).await?;
            if basket.is_empty() {
                return Err(CartError::Empty);
            }
            row.lines = checkouts::written(&basket)?;
            if !checkouts::ask_anew(tx.conn(), &row, &row.lines, now).await? {
                tx.rollback().await?;
                continue;
            }
        } else {
            checkouts::touch(tx.conn(), &row, now).await?;
        }
        tx.commit().await?;
        return Ok(Attempt { row, is_first: false });
    }
    Err(CartError::Busy)
}

/// Remembers what a refusal means for the next request with the key.
async fn refused(context: &Context, row: &checkouts::Model, refusal: PlaceRefusal) -> CartError {
    let outcome = match &refusal {
        // `orders` keeps this answer under the key, so the lines must stay as they were, too.
        PlaceRefusal::InsufficientStock(_) => checkouts::DECLINED,
        // These say that another request has, or may have, made an order.
        PlaceRefusal::CartAlreadyOrdered | PlaceRefusal::KeyReused | PlaceRefusal::KeyInProgress => {
            checkouts::UNKNOWN
        }
        // Refusals of validation are not kept: the same key may come again, with the cart as it is then.
        PlaceRefusal::PriceChanged { .. }
        | PlaceRefusal::TotalMismatch { .. }
        | PlaceRefusal::UnknownProduct(_)
        | PlaceRefusal::RetiredProduct(_)
        | PlaceRefusal::DuplicateSku(_)
        | PlaceRefusal::LineCount
        | PlaceRefusal::PriceTooHigh(_)
        | PlaceRefusal::TotalTooLarge => checkouts::REFUSED,
    };
    if outcome != checkouts::UNKNOWN
        && let Err(error) = checkouts::conclude(context.db.writer(), row, outcome).await
    {
        // Then a retry asks for the same lines again, which is safe, only less helpful.
        tracing::warn!(cart.id = %row.cart_id, cause = %chain(&error), "a refusal was not written down");
    }
    let is_kept = outcome == checkouts::DECLINED && row.outcome == checkouts::DECLINED;
    CartError::Place { refusal, replayed: is_kept }
}
