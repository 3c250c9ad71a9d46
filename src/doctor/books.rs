//! Compares the books of one module with those of another: stock with orders, payments with orders, carts with orders.
//!
//! The books are in databases of their own, so no statement sees two of them at one instant, and events need time to get from
//! one to the other. What does not fit at first sight is therefore only a [`Suspicion`]; [`super::patience`] decides which of them
//! count. Each comparison looks at a page of entries and asks the other books about these, so memory stays bounded whatever
//! the age of the shop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contracts::books::{
    BookError, CartBook, CartEntry, OrderBook, OrderEntry, PaymentBook, PaymentEntry, ReservationEntry,
    StockBook,
};
use kernel::Timestamp;
use uuid::Uuid;

/// Entries that are compared at once.
pub(super) const PAGE: u64 = 200;

/// The books of the modules that can be looked at.
#[derive(Clone, Default)]
pub struct Books {
    pub orders: Option<Arc<dyn OrderBook>>,
    pub stock: Option<Arc<dyn StockBook>>,
    pub payments: Option<Arc<dyn PaymentBook>>,
    pub carts: Option<Arc<dyn CartBook>>,
}

impl Books {
    /// Adds what another one has.
    pub(super) fn add(&mut self, more: Books) {
        self.orders = self.orders.take().or(more.orders);
        self.stock = self.stock.take().or(more.stock);
        self.payments = self.payments.take().or(more.payments);
        self.carts = self.carts.take().or(more.carts);
    }
}

/// Two books that do not fit, perhaps only because one is ahead of the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suspicion {
    /// Whose entry was looked at, for another look.
    pub(super) subject: Uuid,
    /// What does not fit; the same again only if neither side has changed.
    pub(super) what: String,
    /// The order or payment whose events may still be on their way.
    pub(super) aggregates: Vec<Uuid>,
    /// When the later side changed.
    pub(super) changed_at: Timestamp,
}

/// One promise about two books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    StockFollowsOrders,
    HeldStockIsNeeded,
    OrdersKnowTheirPayment,
    PaidOrdersAreConfirmed,
    CancelledOrdersKeepNoMoney,
    CartsHaveTheirOrder,
    OrderedCartsAreClosed,
}

impl Comparison {
    pub(super) const ALL: [Comparison; 7] = [
        Comparison::StockFollowsOrders,
        Comparison::HeldStockIsNeeded,
        Comparison::OrdersKnowTheirPayment,
        Comparison::PaidOrdersAreConfirmed,
        Comparison::CancelledOrdersKeepNoMoney,
        Comparison::CartsHaveTheirOrder,
        Comparison::OrderedCartsAreClosed,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::StockFollowsOrders => "shop.stock_follows_orders",
            Self::HeldStockIsNeeded => "shop.held_stock_is_needed",
            Self::OrdersKnowTheirPayment => "shop.orders_know_their_payment",
            Self::PaidOrdersAreConfirmed => "shop.paid_orders_are_confirmed",
            Self::CancelledOrdersKeepNoMoney => "shop.cancelled_orders_keep_no_money",
            Self::CartsHaveTheirOrder => "shop.carts_have_their_order",
            Self::OrderedCartsAreClosed => "shop.ordered_carts_are_closed",
        }
    }

    pub(super) fn promise(self) -> &'static str {
        match self {
            Self::StockFollowsOrders => {
                "an order holds the stock of its lines until it leaves, it left the house if it was shipped, and none is held \
                 if it was cancelled"
            }
            Self::HeldStockIsNeeded => {
                "all stock that is held is held for an order, or for a placement under way"
            }
            Self::OrdersKnowTheirPayment => {
                "an order's payment, its customer, its status and what was refunded are those of its payment"
            }
            Self::PaidOrdersAreConfirmed => {
                "the order of a payment exists, and is confirmed or later if money was taken, or cancelled"
            }
            Self::CancelledOrdersKeepNoMoney => "the money of a cancelled order is back, or on its way back",
            Self::CartsHaveTheirOrder => "a cart that was ordered and its order name each other",
            Self::OrderedCartsAreClosed => {
                "a cart of which an order was made is closed, and names that order"
            }
        }
    }

    /// The modules whose queues may hold an event that explains a difference.
    pub(super) fn followers(self) -> &'static [&'static str] {
        match self {
            Self::StockFollowsOrders | Self::HeldStockIsNeeded => &["inventory"],
            Self::OrdersKnowTheirPayment | Self::PaidOrdersAreConfirmed => &["orders"],
            Self::CancelledOrdersKeepNoMoney => &["payments"],
            Self::CartsHaveTheirOrder | Self::OrderedCartsAreClosed => &["cart"],
        }
    }

    /// Whether the books that it needs are there.
    pub(super) fn is_possible(self, books: &Books) -> bool {
        let other = match self {
            Self::StockFollowsOrders | Self::HeldStockIsNeeded => books.stock.is_some(),
            Self::OrdersKnowTheirPayment
            | Self::PaidOrdersAreConfirmed
            | Self::CancelledOrdersKeepNoMoney => books.payments.is_some(),
            Self::CartsHaveTheirOrder | Self::OrderedCartsAreClosed => books.carts.is_some(),
        };
        other && books.orders.is_some()
    }

    /// Looks at the page behind an entry. Gives what does not fit, and the last entry of the page; none at the end.
    pub(super) async fn page(self, books: &Books, after: Option<Uuid>) -> Result<Looked, BookError> {
        match self {
            Self::StockFollowsOrders
            | Self::OrdersKnowTheirPayment
            | Self::CancelledOrdersKeepNoMoney
            | Self::OrderedCartsAreClosed => {
                let Some(orders) = &books.orders else { return Ok(Looked::default()) };
                self.orders(books, orders.page(after, PAGE).await?).await
            }
            Self::HeldStockIsNeeded => {
                let Some(stock) = &books.stock else { return Ok(Looked::default()) };
                held(books, stock.held(after, PAGE).await?).await
            }
            Self::PaidOrdersAreConfirmed => {
                let Some(payments) = &books.payments else { return Ok(Looked::default()) };
                paid(books, payments.page(after, PAGE).await?).await
            }
            Self::CartsHaveTheirOrder => {
                let Some(carts) = &books.carts else { return Ok(Looked::default()) };
                ordered(books, carts.ordered(after, PAGE).await?).await
            }
        }
    }

    /// Looks again at some entries.
    pub(super) async fn again(self, books: &Books, subjects: &[Uuid]) -> Result<Vec<Suspicion>, BookError> {
        let looked = match self {
            Self::StockFollowsOrders
            | Self::OrdersKnowTheirPayment
            | Self::CancelledOrdersKeepNoMoney
            | Self::OrderedCartsAreClosed => {
                let Some(orders) = &books.orders else { return Ok(Vec::new()) };
                self.orders(books, orders.find(subjects).await?).await?
            }
            Self::HeldStockIsNeeded => {
                let Some(stock) = &books.stock else { return Ok(Vec::new()) };
                let still_held =
                    stock.find(subjects).await?.into_iter().filter(|entry| entry.state == "held");
                held(books, still_held.collect()).await?
            }
            Self::PaidOrdersAreConfirmed => {
                let Some(payments) = &books.payments else { return Ok(Vec::new()) };
                paid(books, payments.find(subjects).await?).await?
            }
            Self::CartsHaveTheirOrder => {
                let Some(carts) = &books.carts else { return Ok(Vec::new()) };
                let ordered_ones =
                    carts.find(subjects).await?.into_iter().filter(|cart| cart.state == "ordered");
                ordered(books, ordered_ones.collect()).await?
            }
        };
        Ok(looked.suspicions)
    }

    async fn orders(self, books: &Books, orders: Vec<OrderEntry>) -> Result<Looked, BookError> {
        let ids: Vec<Uuid> = orders.iter().map(|order| order.id).collect();
        let mut looked = Looked { last: ids.last().copied(), ..Looked::default() };
        if ids.is_empty() {
            return Ok(looked);
        }
        match self {
            Self::StockFollowsOrders => {
                let Some(stock) = &books.stock else { return Ok(looked) };
                let reserved = by_order(stock.of_orders(&ids).await?, |entry| entry.order_id);
                let found = orders.iter().filter_map(|order| stock_of(order, of(&reserved, order)));
                looked.suspicions.extend(found);
            }
            Self::OrderedCartsAreClosed => {
                let Some(carts) = &books.carts else { return Ok(looked) };
                let cart_ids: Vec<Uuid> = orders.iter().filter_map(|order| order.cart_id).collect();
                let carts = carts.find(&cart_ids).await?;
                looked.suspicions.extend(orders.iter().filter_map(|order| cart_of(order, &carts)));
            }
            _ => {
                let Some(payments) = &books.payments else { return Ok(looked) };
                let paid = by_order(payments.of_orders(&ids).await?, |entry| entry.order_id);
                let beginning: Vec<Uuid> = orders.iter().filter_map(|order| order.payment_id).collect();
                let intended = payments.intended(&beginning).await?;
                let found = orders.iter().filter_map(|order| match self {
                    Self::CancelledOrdersKeepNoMoney => kept_money(order, of(&paid, order)),
                    _ => payment_of(order, of(&paid, order), &intended),
                });
                looked.suspicions.extend(found);
            }
        }
        Ok(looked)
    }
}

/// What a look at some entries gave.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) suspicions: Vec<Suspicion>,
    /// The last entry that was looked at; none at the end of the book.
    pub(super) last: Option<Uuid>,
}

fn by_order<T>(entries: Vec<T>, order_of: impl Fn(&T) -> Uuid) -> BTreeMap<Uuid, Vec<T>> {
    let mut sorted: BTreeMap<Uuid, Vec<T>> = BTreeMap::new();
    for entry in entries {
        sorted.entry(order_of(&entry)).or_default().push(entry);
    }
    sorted
}

fn of<'a, T>(sorted: &'a BTreeMap<Uuid, Vec<T>>, order: &OrderEntry) -> &'a [T] {
    sorted.get(&order.id).map(Vec::as_slice).unwrap_or_default()
}

/// The order's side of a suspicion. The version makes two looks at a changed order differ.
fn suspicion(order: &OrderEntry, what: String, others: impl Iterator<Item = (Uuid, Timestamp)>) -> Suspicion {
    let mut found = Suspicion {
        subject: order.id,
        what: format!(
            "order {} {} ({}, version {}): {what}",
            order.number, order.id, order.status, order.version
        ),
        aggregates: vec![order.id],
        changed_at: order.changed_at,
    };
    for (id, changed_at) in others {
        found.aggregates.push(id);
        found.changed_at = found.changed_at.max(changed_at);
    }
    found
}

fn stock_of(order: &OrderEntry, reserved: &[ReservationEntry]) -> Option<Suspicion> {
    let suspect =
        |what| Some(suspicion(order, what, reserved.iter().map(|entry| (entry.id, entry.changed_at))));
    let holds = matches!(order.status.as_str(), "pending" | "confirmed" | "processing");
    let left = matches!(order.status.as_str(), "shipped" | "delivered");
    let needed = |entry: &&ReservationEntry| {
        Some(entry.id) == order.pending_reservation_id || (holds && Some(entry.id) == order.reservation_id)
    };
    if let Some(surplus) = reserved.iter().find(|entry| entry.state == "held" && !needed(entry)) {
        return suspect(format!("reservation {} is held and not needed", surplus.id));
    }
    let shipped: Vec<_> = reserved.iter().filter(|entry| entry.state == "shipped").collect();
    match (left, shipped.as_slice()) {
        (false, []) => {}
        (false, [one, ..]) => return suspect(format!("reservation {} was shipped", one.id)),
        (true, [one]) if one.pieces == order.pieces => {}
        (true, [one]) => return suspect(format!("{:?} ordered, {:?} shipped", order.pieces, one.pieces)),
        (true, several) => return suspect(format!("{} reservations were shipped, not 1", several.len())),
    }
    if !holds {
        return None;
    }
    let Some(id) = order.reservation_id else { return suspect("names no reservation".to_owned()) };
    match reserved.iter().find(|entry| entry.id == id) {
        None => suspect(format!("there is no reservation {id} of it")),
        Some(entry) if entry.state != "held" => {
            suspect(format!("reservation {id} is {}, not held", entry.state))
        }
        Some(entry) if entry.pieces != order.pieces => {
            suspect(format!("{:?} ordered, {:?} held by {id}", order.pieces, entry.pieces))
        }
        Some(_) => None,
    }
}

/// A payment that holds nothing of its order.
fn is_over(payment: &PaymentEntry) -> bool {
    matches!(payment.status.as_str(), "failed" | "voided")
}

fn payment_of(order: &OrderEntry, payments: &[PaymentEntry], intended: &BTreeSet<Uuid>) -> Option<Suspicion> {
    let suspect =
        |what| Some(suspicion(order, what, payments.iter().map(|entry| (entry.id, entry.changed_at))));
    if let Some(other) = payments.iter().find(|entry| !is_over(entry) && Some(entry.id) != order.payment_id) {
        return suspect(format!("payment {} is {}, and the order does not name it", other.id, other.status));
    }
    let id = order.payment_id?;
    let Some(payment) = payments.iter().find(|entry| entry.id == id) else {
        return match order.payment_status.as_str() {
            "in_progress" if intended.contains(&id) => None,
            status => suspect(format!("is {status} by payment {id}, which is none of this order")),
        };
    };
    if order.user_id != Some(payment.user_id) {
        let whose = order.user_id.map_or("nobody".to_owned(), |user| format!("user {user}"));
        return suspect(format!("belongs to {whose}, payment {id} to user {}", payment.user_id));
    }
    let expected = match payment.status.as_str() {
        "pending" => "in_progress",
        status => status,
    };
    if payment.status == "failed" && payment.is_moving {
        // The order is being told.
        return None;
    }
    if order.payment_status != expected {
        return suspect(format!("is {} by payment {id}, which is {}", order.payment_status, payment.status));
    }
    if order.refunded_minor != payment.refunded_minor {
        let (known, refunded) = (order.refunded_minor, payment.refunded_minor);
        return suspect(format!("{known} refunded by the order, {refunded} by payment {id}"));
    }
    let due = (payment.amount_minor, payment.currency.as_str());
    match due == (order.total_minor, order.currency.as_str()) {
        true => None,
        false => {
            let (total, currency) = (order.total_minor, &order.currency);
            suspect(format!("costs {total} {currency}, payment {id} is of {} {}", due.0, due.1))
        }
    }
}

fn kept_money(order: &OrderEntry, payments: &[PaymentEntry]) -> Option<Suspicion> {
    if order.status != "cancelled" {
        return None;
    }
    let keeps = |payment: &&PaymentEntry| {
        matches!(payment.status.as_str(), "authorized" | "captured" | "partially_refunded")
            && !payment.is_moving
    };
    let payment = payments.iter().find(keeps)?;
    let status = &payment.status;
    let kept = match status.as_str() {
        "authorized" => payment.amount_minor,
        _ => payment.captured_minor - payment.refunded_minor,
    };
    let what = format!("payment {} is {status} and keeps {kept} {}", payment.id, payment.currency);
    Some(suspicion(order, what, payments.iter().map(|entry| (entry.id, entry.changed_at))))
}

/// Carts that are gone were deleted long after they were closed.
fn cart_of(order: &OrderEntry, carts: &[CartEntry]) -> Option<Suspicion> {
    let cart = carts.iter().find(|cart| Some(cart.id) == order.cart_id)?;
    let what = match cart.order_id {
        Some(id) if id == order.id => return None,
        Some(other) => format!("cart {} names order {other}", cart.id),
        None => format!("cart {} is {}", cart.id, cart.state),
    };
    Some(suspicion(order, what, std::iter::once((cart.id, cart.changed_at))))
}

async fn held(books: &Books, held: Vec<ReservationEntry>) -> Result<Looked, BookError> {
    let ids: Vec<Uuid> = held.iter().map(|entry| entry.id).collect();
    let mut looked = Looked { last: ids.last().copied(), ..Looked::default() };
    let Some(orders) = books.orders.as_ref().filter(|_| !ids.is_empty()) else { return Ok(looked) };
    let spoken_of = orders.spoken_of(&ids).await?;
    looked.suspicions.extend(held.into_iter().filter(|entry| !spoken_of.contains(&entry.id)).map(|entry| {
        Suspicion {
            subject: entry.id,
            what: format!(
                "reservation {} holds {:?} for order {}, which does not need it",
                entry.id, entry.pieces, entry.order_id
            ),
            aggregates: vec![entry.order_id],
            changed_at: entry.changed_at,
        }
    }));
    Ok(looked)
}

async fn paid(books: &Books, payments: Vec<PaymentEntry>) -> Result<Looked, BookError> {
    let mut looked = Looked { last: payments.last().map(|entry| entry.id), ..Looked::default() };
    let Some(orders) = books.orders.as_ref().filter(|_| !payments.is_empty()) else { return Ok(looked) };
    let ids: Vec<Uuid> = payments.iter().map(|entry| entry.order_id).collect();
    let orders: BTreeMap<Uuid, OrderEntry> =
        orders.find(&ids).await?.into_iter().map(|order| (order.id, order)).collect();
    for payment in payments {
        let took = matches!(payment.status.as_str(), "captured" | "partially_refunded" | "refunded");
        let what = match orders.get(&payment.order_id) {
            None => "there is no such order".to_owned(),
            Some(order) if took && order.status == "pending" => format!("order {} is pending", order.number),
            Some(_) => continue,
        };
        looked.suspicions.push(Suspicion {
            subject: payment.id,
            what: format!(
                "payment {} of order {} is {}: {what}",
                payment.id, payment.order_id, payment.status
            ),
            aggregates: vec![payment.id, payment.order_id],
            changed_at: payment.changed_at,
        });
    }
    Ok(looked)
}

async fn ordered(books: &Books, carts: Vec<CartEntry>) -> Result<Looked, BookError> {
    let mut looked = Looked { last: carts.last().map(|cart| cart.id), ..Looked::default() };
    let Some(orders) = books.orders.as_ref().filter(|_| !carts.is_empty()) else { return Ok(looked) };
    let ids: Vec<Uuid> = carts.iter().filter_map(|cart| cart.order_id).collect();
    let named: BTreeMap<Uuid, Option<Uuid>> =
        orders.find(&ids).await?.into_iter().map(|order| (order.id, order.cart_id)).collect();
    for cart in carts {
        let Some(order_id) = cart.order_id else { continue };
        let what = match named.get(&order_id) {
            Some(Some(cart_id)) if *cart_id == cart.id => continue,
            Some(Some(other)) => format!("that order was made of cart {other}"),
            Some(None) => "that order was made of no cart".to_owned(),
            None => "there is no such order".to_owned(),
        };
        looked.suspicions.push(Suspicion {
            subject: cart.id,
            what: format!("cart {} became order {order_id}: {what}", cart.id),
            aggregates: vec![order_id],
            changed_at: cart.changed_at,
        });
    }
    Ok(looked)
}
