//! A guest logs in: their cart joins the customer's.

use kernel::{CartId, UserId};
use platform::http::Answer;
use platform::idempotency::{Begin, KeyedRequest, begin};
use platform::problem::chain;

use crate::Context;
use crate::app::change::save;
use crate::app::goods::Goods;
use crate::app::locate::{Located, locate};
use crate::app::read::{CartView, show};
use crate::app::{ATTEMPTS, Shopper};
use crate::domain::basket::Basket;
use crate::domain::token::CartToken;
use crate::error::CartError;
use crate::store::cart_lines;
use crate::store::carts::{self, End, For};

/// Merging is idempotent by the guest's cart itself, which can be merged once. The key only keeps the answer; it is
/// closed after the merge, so a process that dies in between leaves a key that a retry takes over, to merge nothing.
pub(crate) async fn merge(
    context: &Context,
    customer: UserId,
    token: Option<&CartToken>,
    keyed: Option<KeyedRequest>,
) -> Result<Answer<CartView>, CartError> {
    let is_keyed = keyed.is_some();
    let ticket = match begin::<CartView>(&context.db, keyed).await? {
        Begin::Replay(view) => return Ok(Answer::replayed(view)),
        Begin::Work(ticket) => ticket,
    };
    let outcome = merge_and_show(context, customer, token).await;
    match &outcome {
        Ok(view) if is_keyed => {
            let tx = context.db.begin().await?;
            ticket.complete(&tx, view).await?;
            tx.commit().await?;
        }
        Ok(_) => {}
        Err(_) => {
            if let Err(error) = ticket.withdraw(&context.db).await {
                tracing::warn!(cause = %chain(&error), "a key stays open until its lease ends");
            }
        }
    }
    outcome.map(Answer::fresh)
}

async fn merge_and_show(
    context: &Context,
    customer: UserId,
    token: Option<&CartToken>,
) -> Result<CartView, CartError> {
    let hash = token.ok_or(CartError::UnknownToken)?.hash();
    let located = absorb_guest(context, customer, &hash).await?;
    show(context, &located, Goods::default()).await
}

/// Everybody who locks two carts locks the guest's first.
async fn absorb_guest(context: &Context, customer: UserId, token_hash: &str) -> Result<Located, CartError> {
    let shopper = Shopper::Customer(customer);
    for _attempt in 0..ATTEMPTS {
        let tx = context.db.begin().await?;
        let guest =
            carts::of_token(tx.conn(), token_hash, For::Update).await?.ok_or(CartError::UnknownToken)?;
        if let Some(target) = guest.merged_into {
            let target = carts::find(tx.conn(), CartId(target), For::Reading).await?;
            if target.is_none_or(|target| target.user_id != Some(customer.uuid())) {
                return Err(CartError::UnknownToken);
            }
            tx.rollback().await?;
            return locate(context.db.reader(), &shopper, For::Reading).await;
        }
        let brought = cart_lines::of(tx.conn(), guest.id).await?;
        let found = locate(tx.conn(), &shopper, For::Update).await?;
        let mut both = found.basket.clone();
        both.absorb(&brought)?;
        let saved = save(&tx, &shopper, found, both).await?;
        let Some((saved, target)) = saved.and_then(|saved| saved.row.clone().map(|row| (saved, row.id)))
        else {
            tx.rollback().await?;
            continue;
        };
        cart_lines::replace(tx.conn(), guest.id, &brought, &Basket::default()).await?;
        let now = tx.system().now();
        if !carts::close(tx.conn(), guest.id, End::MergedInto(target), now).await? {
            tx.rollback().await?;
            continue;
        }
        tx.commit().await?;
        tracing::info!(cart.id = %target, lines = brought.lines().len(), "merged a guest's cart");
        return Ok(saved);
    }
    Err(CartError::Busy)
}
