//! Keeps the keys of access tokens and the ended sessions of `auth` at hand when `auth` runs in another process.
//!
//! Ended sessions arrive as events. This is the net below: it also bounds how long a process goes without them while the broker is
//! away. What was missed during a lost connection is read at once after it, by the bus.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use contracts::auth::AuthPort;
use platform::access::TokenVerifier;
use platform::module::Worker;
use platform::problem::chain;

/// The pause between two looks while the keys are unknown.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Looks between two reloads once they are known: 5 seconds.
const LOOKS_A_RELOAD: u32 = 25;

/// How long a process that starts waits for `auth` before it listens all the same.
const FIRST_ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Waits until `auth` has answered once. A replica that comes back then serves from its first request on; if `auth` is away, it
/// listens after a while and says of itself that it is not ready.
pub(crate) async fn await_first(verifier: &TokenVerifier, auth: &dyn AuthPort) {
    let answered = async {
        while verifier.load(auth).await.is_err() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if tokio::time::timeout(FIRST_ANSWER_WITHIN, answered).await.is_err() {
        tracing::warn!("auth does not answer; until it does, nobody can be recognised here");
    }
}

/// Asks `auth` until it has answered once, and every 5 seconds from then on.
pub(crate) fn follow(verifier: Arc<TokenVerifier>, auth: Arc<dyn AuthPort>) -> Worker {
    let looks = Arc::new(AtomicU32::new(0));
    Worker::every("access.follow_keys", LOOK_EVERY, move || {
        let (verifier, auth, looks) = (verifier.clone(), auth.clone(), looks.clone());
        async move {
            let look = looks.fetch_add(1, Ordering::Relaxed);
            let was_ready = verifier.is_ready();
            if was_ready && !look.is_multiple_of(LOOKS_A_RELOAD) {
                return Ok(());
            }
            match verifier.load(auth.as_ref()).await {
                // Processes start in any order: until the first answer, silence is no news.
                Err(error) if !was_ready => {
                    tracing::debug!(cause = %chain(&error), "auth does not answer yet")
                }
                loaded => loaded?,
            }
            Ok(())
        }
    })
}

/// How often `auth` hears which API keys were used.
const REPORT_EVERY: Duration = Duration::from_secs(15);

/// Tells `auth` which API keys were used here, beside the requests that used them.
pub(crate) fn report_uses(verifier: Arc<TokenVerifier>, auth: Arc<dyn AuthPort>) -> Worker {
    Worker::every("access.report_uses", REPORT_EVERY, move || {
        let (verifier, auth) = (verifier.clone(), auth.clone());
        async move { Ok(verifier.report_api_key_uses(auth.as_ref()).await?) }
    })
}
