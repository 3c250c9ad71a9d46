//! What replicas have read lately, in common: a cache in the [`SharedStore`] that is slower at worst, and never wrong.
//!
//! One key holds the *generation*, a fresh id. An entry is sealed with the generation from before its query ran, and is
//! only written while that is still the generation (checked and written in one script), so a slow reader cannot put
//! back what a writer has replaced. A change puts a new generation in, which makes every entry worthless at once. As no
//! generation ever comes a second time, nothing is trusted by accident: not after the store was emptied, not after it
//! dropped the one key and kept the others.
//!
//! A change that could not be told to the store is remembered as owed, and this process does not look into the store
//! until it is paid. The same goes for a new connection: the server behind it may have been restarted from an old
//! snapshot, so the first thing said on it is a new generation.
//!
//! Rejected: a version in each value, as in "keep the greater one". It protects one product, but not the list that it is
//! in, and forgets what it knew when the store drops the key. Rejected, too: counting generations, as a store that was
//! emptied counts from the beginning and would come to the same number again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use kernel::Timestamp;
use redis::{FromRedisValue, Script};
use sha2::{Digest, Sha256};

use crate::shared_store::{Away, Link, SharedStore};
use crate::system::System;

/// Values above this are not shared, and not believed.
const MAX_VALUE_BYTES: usize = 512 * 1_024;
/// Values of one call; what goes beyond is not shared. More would take longer than the store is waited for.
const MAX_CALL_BYTES: usize = 1_024 * 1_024;
/// A generation that nobody asks for is dropped after this; entries live much shorter.
const GENERATION_FOR: Duration = Duration::from_secs(24 * 3_600);
/// Changes with the layout of entries.
const LAYOUT: &[u8] = b"souk cache 1";
const SEAL_BYTES: usize = 32;
const TIME_BYTES: usize = 8;

/// The generation, and for each key its value and how long it still lives. `MGET` takes what is no text for nothing.
static LOOK_UP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local values = redis.call('MGET', unpack(KEYS)) \
         if not values[1] then \
           redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) \
           return {ARGV[1]} end \
         local answer = {values[1]} \
         for i = 2, #KEYS do \
           local value = values[i] \
           if value and #value > tonumber(ARGV[3]) then value = false end \
           answer[2 * i - 2] = value \
           answer[2 * i - 1] = value and redis.call('PTTL', KEYS[i]) \
         end \
         return answer",
    )
});

/// Writes only what was read under the generation of now.
static KEEP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end \
         for i = 2, #KEYS do redis.call('SET', KEYS[i], ARGV[i + 1], 'PX', ARGV[2]) end \
         return 1",
    )
});

static FORGET: LazyLock<Script> =
    LazyLock::new(|| Script::new("redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1"));

/// One cache of a module.
pub struct SharedCache {
    store: SharedStore,
    system: System,
    name: &'static str,
    lifetime: Duration,
    /// Changes that the store must be told.
    owed: AtomicU64,
    told: Mutex<Told>,
    turn: tokio::sync::Mutex<()>,
}

/// What the store was told on which connection.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    link: u64,
    changes: u64,
}

/// The result of looking, and with what to come back.
pub struct LookUp {
    /// One for each name; what is not there, or cannot be believed, is none.
    pub found: Vec<Option<Found>>,
    /// From before any query that is made now.
    pub mark: Mark,
}

/// A value that still holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub value: Vec<u8>,
    /// When it was read from the database.
    pub read_at: Timestamp,
}

/// From before a query: what is kept with it is as old as this.
pub struct Mark {
    link: Link,
    generation: Vec<u8>,
    read_at: Timestamp,
}

impl SharedCache {
    /// A cache whose entries live so long, counted from the query.
    pub fn new(store: SharedStore, system: System, name: &'static str, lifetime: Duration) -> Self {
        Self {
            store,
            system,
            name,
            lifetime,
            owed: AtomicU64::new(0),
            told: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Looks for some entries; `None` if the store cannot be asked or not be trusted now.
    pub async fn look_up(&self, names: &[&str]) -> Option<LookUp> {
        let link = self.trusted_link().await?;
        let read_at = self.system.now();
        let keys = self.keys(names);
        let arguments = [self.fresh_generation(), ms(GENERATION_FOR), MAX_VALUE_BYTES.to_string()];
        let arguments: Vec<&[u8]> = arguments.iter().map(String::as_bytes).collect();
        let answer: Vec<redis::Value> = link.run(&LOOK_UP, &keys, &arguments).await.ok()?;
        // A change since: what was found may be from before it.
        if !self.is_trusted(&link) {
            return None;
        }
        let mut answer = answer.into_iter();
        let generation: Vec<u8> = read(answer.next())?;
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let (value, left_ms) = (read::<Vec<u8>>(answer.next()), read::<i64>(answer.next()));
            // An entry without an end was not written here.
            let entry = value.zip(left_ms.and_then(|left| u64::try_from(left).ok()));
            found.push(entry.and_then(|(sealed, left)| self.open(&sealed, left, name, &generation)));
        }
        Some(LookUp { found, mark: Mark { link, generation, read_at } })
    }

    /// Keeps values under their names, unless something has changed since the mark.
    pub async fn keep(&self, mark: &Mark, entries: &[(&str, &[u8])]) {
        let left = self.lifetime.saturating_sub(self.system.now().since(mark.read_at));
        let mut room = MAX_CALL_BYTES;
        let mut sealed = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            let fits = value.len() <= MAX_VALUE_BYTES - SEAL_BYTES - TIME_BYTES;
            if let Some(rest) = room.checked_sub(value.len()).filter(|_| fits) {
                room = rest;
                sealed.push((*name, seal(name, &mark.generation, mark.read_at, value)));
            }
        }
        if left.is_zero() || sealed.is_empty() {
            return;
        }
        let (names, values): (Vec<&str>, Vec<Vec<u8>>) = sealed.into_iter().unzip();
        let left = ms(left);
        let mut arguments: Vec<&[u8]> = vec![&mark.generation, left.as_bytes()];
        arguments.extend(values.iter().map(Vec::as_slice));
        // What cannot be kept is read again.
        let _kept: Result<u8, Away> = mark.link.run(&KEEP, &self.keys(&names), &arguments).await;
    }

    /// Something has changed: nothing that was read before is given to anyone from now on. Returns when the store was
    /// told, or could not be.
    pub async fn forget(&self) {
        self.distrust();
        if let Some(link) = self.store.link() {
            // What cannot be told now stays owed.
            let _told = self.tell(&link).await;
        }
    }

    /// The same, told to the store when it is next looked into.
    pub fn distrust(&self) {
        self.owed.fetch_add(1, Ordering::SeqCst);
    }

    async fn trusted_link(&self) -> Option<Link> {
        let link = self.store.link()?;
        if self.is_trusted(&link) {
            return Some(link);
        }
        // One tells for all; the others do without meanwhile.
        let _turn = self.turn.try_lock().ok()?;
        self.tell(&link).await.ok()?;
        self.is_trusted(&link).then_some(link)
    }

    fn is_trusted(&self, link: &Link) -> bool {
        let told = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.link == link.number() && told.changes >= self.owed.load(Ordering::SeqCst)
    }

    /// Puts a new generation in, which pays for every change up to now.
    async fn tell(&self, link: &Link) -> Result<(), Away> {
        let changes = self.owed.load(Ordering::SeqCst);
        let (generation, lives) = (self.fresh_generation(), ms(GENERATION_FOR));
        let _: u8 = link.run(&FORGET, &self.keys(&[]), &[generation.as_bytes(), lives.as_bytes()]).await?;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.link < link.number() {
            *told = Told { link: link.number(), changes };
        } else if told.link == link.number() {
            told.changes = told.changes.max(changes);
        }
        Ok(())
    }

    fn fresh_generation(&self) -> String {
        self.system.id().simple().to_string()
    }

    /// The generation's key, and one for each name. Names may be long, and what clients made them.
    fn keys(&self, names: &[&str]) -> Vec<String> {
        let entries = names.iter().map(|name| format!("{}:{}", self.name, hex(&Sha256::digest(name))));
        std::iter::once(format!("{}:generation", self.name)).chain(entries).collect()
    }

    /// The value, if it is of this generation, whole, and young enough. Its age is taken from whichever clock makes it
    /// older, ours or the store's.
    fn open(&self, sealed: &[u8], left_ms: u64, name: &str, generation: &[u8]) -> Option<Found> {
        let (_, rest) = sealed.split_at_checked(SEAL_BYTES)?;
        let (time, value) = rest.split_first_chunk::<TIME_BYTES>()?;
        let written_at = Timestamp::from_ms(i64::from_be_bytes(*time));
        if seal(name, generation, written_at, value) != sealed {
            return None;
        }
        let now = self.system.now();
        let by_store = now.minus(self.lifetime.saturating_sub(Duration::from_millis(left_ms)));
        let read_at = written_at.min(by_store);
        (now.since(read_at) < self.lifetime).then(|| Found { value: value.to_vec(), read_at })
    }
}

/// Layout: digest, time, value. The digest covers what the entry is for, so one that was cut, moved or written by
/// something else does not open.
fn seal(name: &str, generation: &[u8], read_at: Timestamp, value: &[u8]) -> Vec<u8> {
    let time = read_at.ms().to_be_bytes();
    let mut digest = Sha256::new();
    for part in [LAYOUT, name.as_bytes(), generation] {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part);
    }
    digest.update(time);
    digest.update(value);
    [&digest.finalize()[..], &time, value].concat()
}

fn read<T: FromRedisValue>(value: Option<redis::Value>) -> Option<T> {
    match value? {
        redis::Value::Nil => None,
        value => redis::from_redis_value(value).ok(),
    }
}

fn ms(span: Duration) -> String {
    span.as_millis().to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
