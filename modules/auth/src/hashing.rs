//! Passwords are hashed here and nowhere else, on a few threads of their own with a bounded queue.
//!
//! A bcrypt of cost 12 keeps a core busy for a quarter of a second. On the async workers a login storm would stop the
//! catalogue; on the runtime's blocking pool it would grow to hundreds of threads. Here it fills the queue, and whoever
//! does not fit is told to come back. And its threads step back: where there are fewer cores than work, those that answer
//! requests go first, and hashing takes what they leave, or a small share if they leave nothing.
//!
//! bcrypt reads 72 bytes and stops at a zero byte. So it is given the base64 of HMAC-SHA-256(pepper, password), which
//! is 44 bytes whatever the password is: no two long passwords are alike, and a stolen table without the pepper cannot
//! be attacked at all.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD};
use hmac::{Hmac, Mac};
use rand::RngCore;
use rand::rngs::OsRng;
use sha2::Sha256;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::domain::password::Password;

type Job = Box<dyn FnOnce() + Send>;

/// How nice the threads are: on a busy core they get a tenth of what a thread gets that answers requests.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Why a password was not hashed.
#[derive(Debug, Error)]
pub enum HashingError {
    /// The queue is full; the same request may succeed in some seconds.
    #[error("too many passwords wait to be hashed")]
    Busy,
    /// It cannot work, such as with a stored hash that is none.
    #[error("hashing failed: {0}")]
    Failed(String),
}

/// How much hashing may go on at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) threads: usize,
    /// Passwords that may wait, beside those being hashed.
    pub(crate) queue: usize,
    /// The logarithm of bcrypt's rounds.
    pub(crate) cost: u32,
}

/// The outcome of a comparison.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Comparison {
    pub(crate) matches: bool,
    /// A new hash of a right password whose stored hash is cheaper than hashes are now.
    pub(crate) upgraded: Option<String>,
}

/// The pool. Its threads end when it is dropped and the queue is empty.
pub(crate) struct Hasher {
    queue: SyncSender<Job>,
    /// How many passwords wait, and how many may.
    waiting: Arc<AtomicUsize>,
    room: usize,
    secrets: Arc<Secrets>,
}

struct Secrets {
    pepper: Vec<u8>,
    cost: u32,
    /// A hash of no known password, for users that do not exist.
    decoy: String,
}

impl Hasher {
    /// Starts the threads.
    pub(crate) fn start(bounds: Bounds, pepper: &str) -> Result<Self, HashingError> {
        let (queue, jobs) = sync_channel::<Job>(bounds.queue);
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..bounds.threads {
            let jobs = jobs.clone();
            std::thread::Builder::new()
                .name(format!("souk-hashing-{number}"))
                .spawn(move || {
                    step_back();
                    work(&jobs);
                })
                .map_err(|error| HashingError::Failed(error.to_string()))?;
        }
        let secrets =
            Secrets { pepper: pepper.as_bytes().to_vec(), cost: bounds.cost, decoy: decoy(bounds.cost)? };
        Ok(Self { queue, waiting: Arc::default(), room: bounds.queue, secrets: Arc::new(secrets) })
    }

    /// Refuses if the queue is full: before anything else is done for somebody who would be turned away after it. A crowd that is turned
    /// away must not cost what others wait for. Who gets past may still find it full.
    pub(crate) fn admit(&self) -> Result<(), HashingError> {
        if self.waiting.load(Ordering::Relaxed) < self.room { Ok(()) } else { Err(HashingError::Busy) }
    }

    /// The hash to store.
    pub(crate) async fn hash(&self, password: Password) -> Result<String, HashingError> {
        self.run(move |secrets| secrets.hash(&password)).await
    }

    /// Compares a password with a stored hash. Without one (nobody has this name) it takes the same time and fails.
    pub(crate) async fn compare(
        &self,
        password: Password,
        stored: Option<String>,
    ) -> Result<Comparison, HashingError> {
        self.run(move |secrets| secrets.compare(&password, stored.as_deref())).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Secrets) -> Result<T, HashingError> + Send + 'static,
    ) -> Result<T, HashingError> {
        let (secrets, waiting) = (self.secrets.clone(), self.waiting.clone());
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move || {
            waiting.fetch_sub(1, Ordering::Relaxed);
            // A caller that went away while it waited costs nothing.
            if !reply.is_closed() {
                let _caller_left = reply.send(work(&secrets));
            }
        });
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.queue.try_send(job).map_err(|error| {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            match error {
                TrySendError::Full(_) => HashingError::Busy,
                TrySendError::Disconnected(_) => {
                    HashingError::Failed("the hashing threads have ended".to_owned())
                }
            }
        })?;
        answer.await.map_err(|_| HashingError::Failed("a hashing thread panicked".to_owned()))?
    }
}

/// Lets the other threads of the machine go first.
#[cfg(target_os = "linux")]
fn step_back() {
    // Linux has a niceness for each thread.
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::warn!(cause = %error, "passwords are hashed at the cost of other requests");
    }
}

/// Elsewhere niceness is that of the whole process.
#[cfg(not(target_os = "linux"))]
fn step_back() {}

/// One thread: takes jobs until the pool is dropped.
fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // A panic ends the job, not the thread: its reply is dropped, and the caller sees that.
        let _panicked = catch_unwind(AssertUnwindSafe(job));
    }
}

impl Secrets {
    fn hash(&self, password: &Password) -> Result<String, HashingError> {
        let digest = self.digest(password)?;
        bcrypt_hash(&digest, self.cost)
    }

    fn compare(&self, password: &Password, stored: Option<&str>) -> Result<Comparison, HashingError> {
        let digest = self.digest(password)?;
        let matches = bcrypt_verify(&digest, stored.unwrap_or(&self.decoy))? && stored.is_some();
        let outgrown = matches && stored.and_then(cost_of).is_some_and(|cost| cost < self.cost);
        let upgraded = if outgrown { Some(bcrypt_hash(&digest, self.cost)?) } else { None };
        Ok(Comparison { matches, upgraded })
    }

    fn digest(&self, password: &Password) -> Result<String, HashingError> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.pepper)
            .map_err(|error| HashingError::Failed(error.to_string()))?;
        mac.update(password.as_bytes());
        Ok(STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the bounded pool; only its threads come here")]
fn bcrypt_hash(digest: &str, cost: u32) -> Result<String, HashingError> {
    bcrypt::hash(digest, cost).map_err(|error| HashingError::Failed(error.to_string()))
}

#[expect(clippy::disallowed_methods, reason = "this is the bounded pool; only its threads come here")]
fn bcrypt_verify(digest: &str, stored: &str) -> Result<bool, HashingError> {
    bcrypt::verify(digest, stored).map_err(|error| HashingError::Failed(error.to_string()))
}

/// The cost in a hash such as `$2b$12$...`.
fn cost_of(hash: &str) -> Option<u32> {
    hash.split('$').nth(2)?.parse().ok()
}

/// A well-formed hash of random bytes: comparing with it is as much work as with a real one, and making it is none, so
/// that the start does not wait for a bcrypt.
fn decoy(cost: u32) -> Result<String, HashingError> {
    let (mut salt, mut hash) = ([0_u8; 16], [0_u8; 23]);
    for bytes in [salt.as_mut_slice(), hash.as_mut_slice()] {
        OsRng.try_fill_bytes(bytes).map_err(|error| HashingError::Failed(error.to_string()))?;
    }
    let base64 = GeneralPurpose::new(&alphabet::BCRYPT, NO_PAD);
    Ok(format!("$2b${cost:02}${}{}", base64.encode(salt), base64.encode(hash)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(cost: u32) -> Secrets {
        Secrets { pepper: b"pepper".to_vec(), cost, decoy: decoy(cost).unwrap() }
    }

    fn typed(text: &str) -> Password {
        Password::typed(text.to_owned())
    }

    #[test]
    fn passwords_that_differ_after_byte_72_or_after_a_zero_differ() {
        let secrets = secrets(4);
        let long = "x".repeat(72);
        for (right, wrong) in [
            (format!("{long}a"), format!("{long}b")),
            ("🔑".repeat(64), "🔑".repeat(63)),
            ("a\0b".into(), "a\0c".into()),
        ] {
            let hash = secrets.hash(&typed(&right)).unwrap();
            assert!(secrets.compare(&typed(&right), Some(&hash)).unwrap().matches);
            assert!(!secrets.compare(&typed(&wrong), Some(&hash)).unwrap().matches);
        }
    }

    #[test]
    fn another_pepper_makes_every_password_wrong() {
        let hash = secrets(4).hash(&typed("password")).unwrap();
        let other = Secrets { pepper: b"salt".to_vec(), ..secrets(4) };
        assert!(!other.compare(&typed("password"), Some(&hash)).unwrap().matches);
    }

    #[test]
    fn a_raised_cost_gives_right_passwords_a_new_hash() {
        let hash = secrets(4).hash(&typed("password")).unwrap();
        let raised = secrets(5);
        let upgraded = raised.compare(&typed("password"), Some(&hash)).unwrap().upgraded.unwrap();
        assert_eq!(cost_of(&upgraded), Some(5));
        assert_eq!(raised.compare(&typed("password"), Some(&upgraded)).unwrap().upgraded, None);
        assert_eq!(raised.compare(&typed("wrong"), Some(&hash)).unwrap().upgraded, None);
        assert_eq!(secrets(4).compare(&typed("password"), Some(&upgraded)).unwrap().upgraded, None);
    }

    #[actix_web::test]
    async fn who_would_find_the_queue_full_is_refused_before_and_let_in_when_it_is_not() {
        let hasher = Hasher::start(Bounds { threads: 1, queue: 1, cost: 4 }, "pepper").unwrap();
        let (started, has_started) = std::sync::mpsc::channel();
        let (end, may_end) = std::sync::mpsc::channel::<()>();
        let busy = hasher.run(move |_| {
            started.send(()).unwrap();
            may_end.recv().unwrap();
            Ok(())
        });
        let crowd = async {
            has_started.recv().unwrap();
            assert!(hasher.admit().is_ok(), "one is hashed, none waits");
            let waiting = hasher.run(|_| Ok(()));
            let rest = async {
                assert!(matches!(hasher.admit(), Err(HashingError::Busy)));
                assert!(matches!(hasher.run(|_| Ok(())).await, Err(HashingError::Busy)));
                end.send(()).unwrap();
            };
            tokio::join!(waiting, rest).0
        };
        let (first, second) = tokio::join!(busy, crowd);
        assert!(first.is_ok() && second.is_ok() && hasher.admit().is_ok());
    }

    #[cfg(target_os = "linux")]
    #[actix_web::test]
    async fn its_threads_step_back_and_others_do_not() {
        use rustix::process::getpriority_process;
        let before = getpriority_process(None).unwrap();
        let hasher = Hasher::start(Bounds { threads: 1, queue: 1, cost: 4 }, "pepper").unwrap();
        let inside = hasher
            .run(|_| getpriority_process(None).map_err(|error| HashingError::Failed(error.to_string())));
        assert_eq!(inside.await.unwrap(), (before + NICENESS).min(19));
        assert_eq!(getpriority_process(None).unwrap(), before);
    }

    #[test]
    fn nobody_has_the_decoys_password_but_it_costs_as_much() {
        for cost in [4, 12] {
            assert_eq!(cost_of(&decoy(cost).unwrap()), Some(cost));
        }
        assert!(!secrets(4).compare(&typed("password"), None).unwrap().matches);
    }
}
