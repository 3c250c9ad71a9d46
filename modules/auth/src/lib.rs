//! Who may come in: passwords, sessions, and the tokens that every module verifies.
//!
//! Invariants:
//!
//! - a password is stored as a bcrypt hash of a peppered digest only, and hashed on a bounded pool of threads only;
//! - exactly one key signs, it never leaves this module, and processes that start at once agree on it (unique index); a
//!   key that was replaced verifies until its last token has expired, and its private part is gone at once (check);
//! - a session has one refresh token at a time; of several uses of it at once one rotates it (conditional update), and the
//!   others are given the same successor as long as nobody has used that one and the grace lasts (unique index, conditional update);
//!   any other use of a spent one ends the session;
//! - an access token is true as of its `iat_ms`: role and address were read from `users` at or after that instant. So
//!   "every token as of an instant or earlier is void" ends what a change of role must end and nothing newer;
//! - what was revoked is remembered, here and by every verifier, until no such token can be accepted any more;
//! - a login name has a bounded number of failures in a sliding window, from one client and in all (primary key); the second bound
//!   never holds for a client from which the name was let in before, so that nobody can be locked out for good. Memory of it is bounded too:
//!   each failure costs a bcrypt, so there cannot be more than the hashing threads can make until the next purge;
//! - a mailed token is good once, for a while, and only the last one of its kind; its hash is kept here, and the letter is written by
//!   `notifications`;
//! - a code of a second factor, or for its recovery, is good once (conditional update, primary key); its secret is sealed at rest;
//! - no session outlives the password that opened it: replacing one and opening one wait for each other;
//! - an API key is stored as a hash, acts as its owner with the role of the moment and within its scopes, lives a year at most, and
//!   an owner has a bounded number of them (unique index over numbered slots);
//! - what somebody did to an account, key, price, stock or payment is kept for good: an entry of the audit log commits with the change,
//!   or with its event's inbox row, and none can be changed or deleted (triggers).
//!
//! A session ends by logout, by reuse, by expiry, or because the user's role or activity changed: a refresh does not carry a
//! session over such a change, so the user logs in anew, and every token of before is refused at once. `users`
//! owns the role; it is asked at every login and refresh.
//!
//! Rejected: opaque tokens looked up in the database on each request (every module would depend on this one being up
//! for every call); HS256 (everyone who can verify could forge); a grace in which a spent refresh token opens a lineage of its own
//! (a thief would keep one); throttling by counting attempts ahead of the result (a crowd of right logins at once would lock
//! itself out).

mod app;
mod derived_key;
mod doctor;
mod domain;
mod error;
mod hashing;
mod http;
mod port;
mod sealing;
mod secret_token;
mod signing;
mod store;

pub use doctor::examiner;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::audit::By;
use contracts::auth::AuthPort;
use contracts::users::{Profile, UsersPort};
use platform::access::TokenVerifier;
use platform::bus::EventHandler;
use platform::csv::Transfer;
use platform::db::Db;
use platform::module::{AnyError, Check, Module, Worker};
use platform::problem::ErrorCode;
use platform::routes::Routes;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

pub use crate::app::create_account::{AccountCreated, NewAccount};
use crate::app::keep_audit_log::KeepAuditLog;
pub use crate::app::list_keys::ListedKey;
use crate::app::mail_token::PLACE_OF_TOKEN;
use crate::app::on_user_access_changed::OnUserAccessChanged;
use crate::app::on_user_registered::OnUserRegistered;
pub use crate::app::rotate_keys::RotatedKeys;
pub use crate::error::{AccountError, KeyError, SecondFactorError};
pub use crate::hashing::HashingError;

use crate::derived_key::DerivedKey;
use crate::domain::login_name::LoginName;
use crate::domain::throttle::Throttle;
use crate::hashing::{Bounds, Hasher};
use crate::sealing::Sealer;
use crate::signing::Signer;

/// The codes of this module's errors.
pub const ERROR_CODES: &[ErrorCode] = error::CODES;

/// Settings of this module.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The logarithm of bcrypt's rounds, 4 to 31. A raised one reaches each password at its next login.
    pub bcrypt_cost: u32,
    /// Passwords hashed at the same time; 0: one for every two cores, so that a crowd that logs in leaves the others half of the machine.
    pub hashing_threads: usize,
    /// Passwords that may wait; beyond that the answer is 503.
    pub hashing_queue: usize,
    /// How long an access token lives, seconds.
    pub access_token_ttl_s: u64,
    /// How long a session lives without being refreshed, seconds.
    pub refresh_token_ttl_s: u64,
    /// How long a spent refresh token gives its successor again while nobody has used that one, seconds; 0: not at all.
    pub refresh_grace_s: u64,
    /// A secret that is mixed into every password. It cannot be changed without making all of them wrong.
    pub pepper: String,
    /// Wrong passwords that one login name may have in the window from one client address.
    pub max_failures_per_account: u32,
    /// The same from everywhere; beyond it only clients get in from which the name was let in before.
    pub max_failures_per_account_in_all: u32,
    /// How long a wrong password counts, seconds.
    pub throttle_window_s: u64,
    /// Whether an admin without a second factor may do what a customer may, and no more.
    pub require_second_factor_for_admins: bool,
    /// The page that resets a password, with `{token}` in its address; empty: the letter has the token alone.
    pub reset_url: String,
    /// The page that verifies an email address, with `{token}` in its address; empty: the letter has the token alone.
    pub verify_url: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bcrypt_cost: 12,
            hashing_threads: 0,
            hashing_queue: 64,
            access_token_ttl_s: 15 * 60,
            refresh_token_ttl_s: 30 * 24 * 60 * 60,
            refresh_grace_s: 10,
            pepper: "souk-development-pepper".to_owned(),
            max_failures_per_account: 10,
            max_failures_per_account_in_all: 100,
            throttle_window_s: 5 * 60,
            require_second_factor_for_admins: false,
            reset_url: String::new(),
            verify_url: String::new(),
        }
    }
}

/// The pepper is a secret.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("bcrypt_cost", &self.bcrypt_cost)
            .field("hashing_threads", &self.hashing_threads)
            .field("hashing_queue", &self.hashing_queue)
            .field("access_token_ttl_s", &self.access_token_ttl_s)
            .field("refresh_token_ttl_s", &self.refresh_token_ttl_s)
            .field("refresh_grace_s", &self.refresh_grace_s)
            .field("pepper", &"...")
            .field("max_failures_per_account", &self.max_failures_per_account)
            .field("max_failures_per_account_in_all", &self.max_failures_per_account_in_all)
            .field("throttle_window_s", &self.throttle_window_s)
            .field("require_second_factor_for_admins", &self.require_second_factor_for_admins)
            .field("reset_url", &self.reset_url)
            .field("verify_url", &self.verify_url)
            .finish()
    }
}

impl Settings {
    /// How many threads hash passwords.
    fn threads(&self) -> usize {
        match self.hashing_threads {
            0 => std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)),
            threads => threads,
        }
    }

    /// Refuses what cannot work, with the name of the setting.
    fn check(&self) -> Result<(), AnyError> {
        const CENTURY_S: u64 = 100 * 365 * 24 * 60 * 60;
        const MAX_GRACE_S: u64 = 60;
        let rules = [
            ((4..=31).contains(&self.bcrypt_cost), "auth.bcrypt_cost must be 4 to 31"),
            (self.hashing_threads <= 256, "auth.hashing_threads must be 0 to 256"),
            ((1..=100_000).contains(&self.hashing_queue), "auth.hashing_queue must be 1 to 100000"),
            (
                (1..=CENTURY_S).contains(&self.access_token_ttl_s),
                "auth.access_token_ttl_s must be at least 1",
            ),
            (
                (1..=CENTURY_S).contains(&self.refresh_token_ttl_s),
                "auth.refresh_token_ttl_s must be at least 1",
            ),
            (self.refresh_grace_s <= MAX_GRACE_S, "auth.refresh_grace_s must be 0 to 60"),
            (!self.pepper.is_empty(), "auth.pepper must not be empty"),
            (
                (1..=1_000).contains(&self.max_failures_per_account),
                "auth.max_failures_per_account must be 1 to 1000",
            ),
            (
                (self.max_failures_per_account..=10_000).contains(&self.max_failures_per_account_in_all),
                "auth.max_failures_per_account_in_all must be max_failures_per_account to 10000",
            ),
            ((1..=CENTURY_S).contains(&self.throttle_window_s), "auth.throttle_window_s must be at least 1"),
            (
                is_page(&self.reset_url),
                "auth.reset_url must be empty or an http(s) address with {token} in it",
            ),
            (
                is_page(&self.verify_url),
                "auth.verify_url must be empty or an http(s) address with {token} in it",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, broken)) => Err(broken.into()),
            None => Ok(()),
        }
    }
}

/// Whether a page can be named in a letter.
fn is_page(url: &str) -> bool {
    let is_http = url.starts_with("https://") || url.starts_with("http://");
    url.is_empty() || is_http && url.contains(PLACE_OF_TOKEN) && !url.contains(char::is_control)
}

/// What this module needs.
pub struct Deps {
    pub db: Db,
    pub settings: Settings,
    /// Profiles, roles, and who is active.
    pub users: Arc<dyn UsersPort>,
    /// The verifier of this process: it learns the keys here, and of a logout at once.
    pub verifier: Arc<TokenVerifier>,
}

/// What every use case has at hand.
struct Context {
    db: Db,
    users: Arc<dyn UsersPort>,
    verifier: Arc<TokenVerifier>,
    hasher: Hasher,
    signer: Signer,
    /// Of one login name from one client.
    throttle: Throttle,
    /// Of one login name from everywhere.
    throttle_in_all: Throttle,
    /// Of letters to one address.
    throttle_of_letters: Throttle,
    /// Of codes of one user's second factor, from everywhere: only who knows the password gets as far.
    throttle_of_codes: Throttle,
    sealer: Sealer,
    /// Hashes recovery codes.
    recovery_key: DerivedKey,
    admins_need_second_factor: bool,
    /// Requests whose letters are being prepared.
    letters: Arc<Semaphore>,
    reset_url: String,
    verify_url: String,
    refresh_lifetime: Duration,
    refresh_grace: Duration,
    /// Derives the successors of refresh tokens.
    successor_key: DerivedKey,
}

impl Context {
    /// How long any failure counts at most.
    fn longest_window(&self) -> Duration {
        let all = [self.throttle, self.throttle_in_all, self.throttle_of_letters, self.throttle_of_codes];
        all.iter().map(|throttle| throttle.window).max().unwrap_or_default()
    }
}

/// Letters with a token that one address may be sent in a while.
const LETTERS: Throttle = Throttle { max_failures: 3, window: Duration::from_secs(15 * 60) };
/// Wrong codes of one user's second factor in a while. Three in a million are good at a time, so whoever has the password and guesses
/// day and night for a week is right with a chance of one in two hundred.
const CODES: Throttle = Throttle { max_failures: 10, window: Duration::from_secs(60 * 60) };
/// Requests for a letter that are worked on at once, after their answer; whoever comes then is told to come back.
const MAX_LETTERS_IN_WORK: usize = 64;

/// The module.
#[derive(Clone)]
pub struct Auth {
    context: Arc<Context>,
    port: Arc<dyn AuthPort>,
}

impl Auth {
    /// Puts the module together: loads the signing key (or creates the first one), tells the verifier the keys and what was
    /// revoked, and starts the hashing threads. Fails for settings that cannot work and without a database.
    pub async fn open(deps: Deps) -> Result<Self, AnyError> {
        let settings = &deps.settings;
        settings.check()?;
        let bounds =
            Bounds { threads: settings.threads(), queue: settings.hashing_queue, cost: settings.bcrypt_cost };
        let window = Duration::from_secs(settings.throttle_window_s);
        let context = Context {
            hasher: Hasher::start(bounds, &settings.pepper)?,
            signer: Signer::open(
                &deps.db,
                deps.verifier.issuer(),
                Duration::from_secs(settings.access_token_ttl_s),
            )
            .await?,
            throttle: Throttle { max_failures: settings.max_failures_per_account, window },
            throttle_in_all: Throttle { max_failures: settings.max_failures_per_account_in_all, window },
            throttle_of_letters: LETTERS,
            throttle_of_codes: CODES,
            sealer: Sealer::new(&DerivedKey::of(&settings.pepper, "secrets of authenticator apps")?),
            recovery_key: DerivedKey::of(&settings.pepper, "recovery codes")?,
            admins_need_second_factor: settings.require_second_factor_for_admins,
            letters: Arc::new(Semaphore::new(MAX_LETTERS_IN_WORK)),
            reset_url: settings.reset_url.clone(),
            verify_url: settings.verify_url.clone(),
            refresh_lifetime: Duration::from_secs(settings.refresh_token_ttl_s),
            refresh_grace: Duration::from_secs(settings.refresh_grace_s),
            successor_key: DerivedKey::of(&settings.pepper, "successors of refresh tokens")?,
            db: deps.db,
            users: deps.users,
            verifier: deps.verifier,
        };
        let context = Arc::new(context);
        let port: Arc<dyn AuthPort> = Arc::new(port::LocalAuth { context: context.clone() });
        context.verifier.ask(&port);
        context.verifier.load(port.as_ref()).await?;
        Ok(Self { context, port })
    }

    /// What other modules call.
    pub fn port(&self) -> Arc<dyn AuthPort> {
        self.port.clone()
    }

    /// Lets another key sign; for the command line. The keys before it verify until their tokens have expired, or not any
    /// more.
    pub async fn rotate_keys(&self, at_once: bool) -> Result<RotatedKeys, KeyError> {
        app::rotate_keys::rotate_keys(&self.context, at_once).await
    }

    /// Every key with its state, newest first; for the command line.
    pub async fn list_keys(&self) -> Result<Vec<ListedKey>, KeyError> {
        app::list_keys::list_keys(&self.context).await
    }

    /// Creates an account with any role; for the command line and the demo shop. Nothing changes if it exists.
    pub async fn create_account(&self, account: NewAccount) -> Result<AccountCreated, AccountError> {
        app::create_account::create_account(&self.context, account, Some(By::Operator)).await
    }

    /// Takes the second factor of a user away who has lost it, and ends their sessions; for the command line. Whose it was.
    pub async fn remove_second_factor(&self, login: &str) -> Result<Profile, SecondFactorError> {
        app::remove_second_factor::remove_second_factor(&self.context, &LoginName::read(login)).await
    }
}

#[async_trait]
impl Module for Auth {
    fn name(&self) -> &'static str {
        "auth"
    }

    fn db(&self) -> &Db {
        &self.context.db
    }

    fn routes(&self, routes: &mut Routes<'_, '_>) {
        http::routes(routes, &self.context);
    }

    fn error_codes(&self) -> &'static [ErrorCode] {
        ERROR_CODES
    }

    fn handlers(&self) -> Vec<Arc<dyn EventHandler>> {
        let context = &self.context;
        vec![
            Arc::new(KeepAuditLog { context: context.clone() }),
            Arc::new(OnUserAccessChanged { context: context.clone() }),
            Arc::new(OnUserRegistered { context: context.clone() }),
        ]
    }

    fn workers(&self) -> Vec<Worker> {
        let (purging, following) = (self.context.clone(), self.context.clone());
        let forgetting = self.context.clone();
        vec![
            Worker::every("auth.purge", Duration::from_secs(3_600), move || {
                let context = purging.clone();
                async move { Ok(app::purge::purge(&context).await?) }
            }),
            Worker::every("auth.purge_api_keys", Duration::from_secs(3_600), move || {
                let context = forgetting.clone();
                async move { Ok(app::revoke_api_key::purge(&context).await?) }
            }),
            Worker::every("auth.follow_signing_key", signing::LOOK_EVERY, move || {
                let context = following.clone();
                async move { context.signer.follow(&context.db).await }
            }),
        ]
    }

    fn transfers(&self) -> Vec<Arc<dyn Transfer>> {
        Vec::new()
    }

    async fn doctor(&self) -> Result<Vec<Check>, AnyError> {
        Ok(doctor::checks(&self.context.db).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_thread_that_hashes() {
        assert!(Settings::default().threads() >= 1);
        assert_eq!(Settings { hashing_threads: 3, ..Settings::default() }.threads(), 3);
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        assert!(Settings::default().check().is_ok());
        let broken = [
            Settings { bcrypt_cost: 3, ..Settings::default() },
            Settings { hashing_threads: 257, ..Settings::default() },
            Settings { pepper: String::new(), ..Settings::default() },
            Settings { max_failures_per_account: 0, ..Settings::default() },
            Settings { refresh_grace_s: 61, ..Settings::default() },
            Settings { max_failures_per_account_in_all: 9, ..Settings::default() },
            Settings { reset_url: "https://shop.example/reset".to_owned(), ..Settings::default() },
            Settings { verify_url: "javascript:{token}".to_owned(), ..Settings::default() },
        ];
        for settings in broken {
            assert!(settings.check().unwrap_err().to_string().starts_with("auth."), "{settings:?}");
        }
    }

    #[test]
    fn the_pepper_does_not_show() {
        let settings = Settings { pepper: "cayenne".to_owned(), ..Settings::default() };
        assert!(!format!("{settings:?}").contains("cayenne"));
    }

    #[test]
    fn settings_have_defaults_and_no_unknown_names() {
        let settings: Settings = serde_json::from_str(r#"{"bcrypt_cost": 10}"#).unwrap();
        assert_eq!(settings, Settings { bcrypt_cost: 10, ..Settings::default() });
        assert!(serde_json::from_str::<Settings>(r#"{"bcrypt_costs": 10}"#).is_err());
    }
}
