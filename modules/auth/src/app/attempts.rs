//! Who may try a password of a name just now.
//!
//! Failures are counted for the name together with the client's address, and for the name in all. The first bound is small
//! and is every client's own: whoever uses it up slows nobody else down. The second one stops a crowd of clients; it does not hold for a
//! client from which this name was let in before. So an attacker can keep a name's second bound used up, and its owner still
//! gets in from where they have been, or after a reset by mail, which makes the new place a known one.
//!
//! All of it goes by the name that is typed, never by the account behind it, so that it says nothing of which names exist.

use std::net::IpAddr;
use std::time::Duration;

use contracts::users::Profile;
use kernel::Timestamp;
use platform::client_address::counted_as;
use sea_orm::DbErr;
use sha2::{Digest, Sha256};

use crate::Context;
use crate::domain::login_name::LoginName;
use crate::domain::throttle::Throttle;
use crate::error::AuthError;
use crate::store::{known_clients, login_failures};

/// A client from which nobody was let in for so long is a stranger again.
pub(crate) const CLIENT_KNOWN_FOR: Duration = Duration::from_secs(90 * 86_400);
/// What is known of a client is renewed when it is older than this, to spare most logins a write.
const RENEWED_AFTER: Duration = Duration::from_secs(86_400);

/// The tries of one name from one client.
pub(crate) struct Attempts<'a> {
    context: &'a Context,
    client_key: Vec<u8>,
    name_key: Vec<u8>,
    /// Whether this name was let in from this client before. The same is read and written either way, so that the time
    /// it takes does not tell.
    is_known: bool,
}

impl<'a> Attempts<'a> {
    pub(crate) async fn of(
        context: &'a Context,
        name: &LoginName,
        address: Option<IpAddr>,
    ) -> Result<Self, AuthError> {
        let client_key = client_key(name, address);
        let seen_at = known_clients::seen_at(context.db.reader(), &client_key).await?;
        let is_known = seen_at.is_some_and(|at| at.plus(CLIENT_KNOWN_FOR) > context.db.system().now());
        let name_key = Sha256::digest(name.as_bytes()).to_vec();
        Ok(Self { context, client_key, name_key, is_known })
    }

    /// Refuses if there were too many failures; says whether this client had any.
    pub(crate) async fn admit(&self) -> Result<bool, AuthError> {
        let context = self.context;
        let in_all = admit(context, &context.throttle_in_all, &self.name_key).await;
        self.unless_known(in_all.map(|_| ()))?;
        admit(context, &context.throttle, &self.client_key).await
    }

    /// Writes a failure down. `Err` if others have taken the last slot meanwhile: then the client must not hear whether the
    /// password was wrong.
    pub(crate) async fn remember_failure(&self) -> Result<(), AuthError> {
        let context = self.context;
        remember_failure(context, &context.throttle, &self.client_key).await?;
        self.unless_known(remember_failure(context, &context.throttle_in_all, &self.name_key).await)
    }

    /// What strangers have used up is nothing to a known client.
    fn unless_known(&self, in_all: Result<(), AuthError>) -> Result<(), AuthError> {
        match in_all {
            Err(AuthError::Throttled { .. }) if self.is_known => Ok(()),
            outcome => outcome,
        }
    }

    /// Forgets this client's failures. Those of others stay: they may be an attacker's.
    pub(crate) async fn forget_failures(&self) -> Result<(), DbErr> {
        login_failures::clear(self.context.db.writer(), &self.client_key).await
    }
}

/// Forgets the failures of a user's names from here: an attacker may share the address, and who has read the mail is not that one.
pub(crate) async fn forgive(context: &Context, user: &Profile, address: Option<IpAddr>) -> Result<(), DbErr> {
    for name in names_of(user) {
        login_failures::clear(context.db.writer(), &client_key(&LoginName::read(name), address)).await?;
    }
    Ok(())
}

fn names_of(user: &Profile) -> impl Iterator<Item = &str> {
    [Some(user.email.as_str()), user.username.as_deref()].into_iter().flatten()
}

/// Notes that a user was let in from here, under each of their names.
pub(crate) async fn know(context: &Context, user: &Profile, address: Option<IpAddr>) -> Result<(), DbErr> {
    let now = context.db.system().now();
    for name in names_of(user) {
        let key = client_key(&LoginName::read(name), address);
        let seen_at = known_clients::seen_at(context.db.reader(), &key).await?;
        if seen_at.is_none_or(|at| at.plus(RENEWED_AFTER) < now) {
            known_clients::put(context.db.writer(), key, now).await?;
        }
    }
    Ok(())
}

fn client_key(name: &LoginName, address: Option<IpAddr>) -> Vec<u8> {
    let address = address.map(|address| counted_as(address).to_string()).unwrap_or_default();
    Sha256::new().chain_update(Sha256::digest(name.as_bytes())).chain_update(address).finalize().to_vec()
}

/// Refuses what has failed too often; says whether it has failed at all.
pub(crate) async fn admit(context: &Context, throttle: &Throttle, key: &[u8]) -> Result<bool, AuthError> {
    let failures = login_failures::of(context.db.reader(), key).await?;
    match throttle.free_slots(&failures, context.db.system().now()) {
        Ok(_) => Ok(!failures.is_empty()),
        Err(throttled) => Err(AuthError::Throttled { retry_after: throttled.retry_after }),
    }
}

/// Takes a slot for a failure; `Err` if there is none.
pub(crate) async fn remember_failure(
    context: &Context,
    throttle: &Throttle,
    key: &[u8],
) -> Result<(), AuthError> {
    let now: Timestamp = context.db.system().now();
    let forgotten_before = throttle.forgotten_before(now);
    loop {
        let failures = login_failures::of(context.db.writer(), key).await?;
        let free = throttle
            .free_slots(&failures, now)
            .map_err(|throttled| AuthError::Throttled { retry_after: throttled.retry_after })?;
        // Each round that fails has found its slots taken by others, so there are fewer the next time.
        for slot in free {
            if login_failures::take_slot(context.db.writer(), key, slot, now, forgotten_before).await? {
                return Ok(());
            }
        }
    }
}
