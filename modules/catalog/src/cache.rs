//! What was read lately: in the memory of the process, and behind that in the store that replicas share, if there is one.
//!
//! Every change makes all of it worthless at once: a counter goes up after the commit, before the caller is answered,
//! and what was read under an older count is not used. An entry also remembers the count from *before* its query ran, so
//! a slow reader cannot put back what a writer has just replaced. The shared store does the same with a fresh id a
//! change; see [`platform::shared_cache`]. A change by another process arrives as an event, and shows at the
//! latest when the entry is as old as `cache_ttl_s`, whichever of the two it lay in.
//!
//! A product is kept in the memory of the process once it is asked for again ([`Doorkeeper`]): most of a large shop's are not.
//!
//! Rejected: removing only the keys that changed. A reader that is under way would put the old value back afterwards,
//! and a catalogue is read thousands of times for one change.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use contracts::catalog::ProductRef;
use kernel::{Clock, Timestamp};
use moka::future::Cache as Moka;
use platform::shared_cache::{LookUp, Mark, SharedCache};
use platform::shared_store::SharedStore;
use platform::system::System;

use crate::Settings;
use crate::app::list::Listing;
use crate::doorkeeper::Doorkeeper;
use crate::product::Versioned;

/// An answer that is kept as the bytes that were sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum PageKey {
    Products(Listing),
    Categories,
}

/// The release is part of the name: replicas of two releases may share a store, and answer in two forms.
const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// The name of an answer in the shared store. Every part of the key is in its debug form.
fn page_name(key: &PageKey) -> String {
    format!("{RELEASE} page {key:?}")
}

/// The name of a product in the shared store.
fn product_name(reference: &ProductRef) -> String {
    match reference {
        ProductRef::Id(id) => format!("{RELEASE} product by id {id}"),
        ProductRef::Sku(sku) => format!("{RELEASE} product by sku {sku}"),
    }
}

/// From before a query: what is put in with it is as old as this.
#[derive(Debug, Clone, Copy)]
struct ReadMark {
    generation: u64,
    read_at: Timestamp,
}

/// From before a query, with what the shared store knew then.
pub(crate) struct Reading {
    mark: ReadMark,
    shared: Option<Mark>,
    /// What is read for at least the second time.
    again: HashSet<ProductRef>,
}

#[derive(Clone)]
struct Entry<V> {
    mark: ReadMark,
    value: V,
}

/// The cache of one process, and its way to the shared one.
pub(crate) struct Cache {
    clock: Arc<dyn Clock>,
    lifetime: Duration,
    generation: AtomicU64,
    products: Moka<ProductRef, Entry<Arc<Versioned>>>,
    door: Doorkeeper,
    pages: Moka<PageKey, Entry<Bytes>>,
    shared: Option<SharedCache>,
}

impl Cache {
    /// Holds `cache_entries` KiB of products, and half as much of lists: a product usually takes less than one.
    pub(crate) fn new(settings: &Settings, system: &System, store: Option<SharedStore>) -> Self {
        let lifetime = Duration::from_secs(settings.cache_ttl_s);
        let keeps = settings.cache_entries > 0 && !lifetime.is_zero();
        let shared = store.filter(|_| keeps);
        Self {
            clock: system.clock.clone(),
            lifetime,
            generation: AtomicU64::new(0),
            products: shelf(settings.cache_entries, lifetime, |shown: &Arc<Versioned>| {
                size_of_product(shown)
            }),
            door: Doorkeeper::new(settings.cache_entries),
            pages: shelf(settings.cache_entries / 2, lifetime, |page: &Bytes| page.len()),
            shared: shared.map(|store| SharedCache::new(store, system.clone(), "catalog", lifetime)),
        }
    }

    /// Call it after every commit, whatever became of it, and when another process has changed something.
    pub(crate) async fn forget(&self) {
        // Once before the wait, in case that the caller goes away during it; and once after it, because until then a
        // reader may have taken an old value from the shared store.
        self.forget_own();
        if let Some(shared) = &self.shared {
            shared.forget().await;
            self.forget_own();
        }
    }

    /// Forgets everything, when it is not known what was missed. The shared store is told with the next look into it.
    pub(crate) fn forget_all(&self) {
        if let Some(shared) = &self.shared {
            shared.distrust();
        }
        self.forget_own();
    }

    fn forget_own(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    fn mark(&self) -> ReadMark {
        ReadMark { generation: self.generation.load(Ordering::SeqCst), read_at: self.clock.now() }
    }

    /// The product, or what `read` gives, which is asked only if needed and then remembered.
    pub(crate) async fn product<E>(
        &self,
        reference: &ProductRef,
        read: impl Future<Output = Result<Arc<Versioned>, E>>,
    ) -> Result<Arc<Versioned>, E> {
        let (known, reading) = self.known_products(std::slice::from_ref(reference)).await;
        if let Some(shown) = known.into_iter().next().flatten() {
            return Ok(shown);
        }
        let shown = read.await?;
        self.keep_products(&reading, std::slice::from_ref(&shown)).await;
        Ok(shown)
    }

    /// Those products that are remembered, in the order asked for, and with what to keep the others once they are read.
    pub(crate) async fn known_products(
        &self,
        references: &[ProductRef],
    ) -> (Vec<Option<Arc<Versioned>>>, Reading) {
        let mut known = Vec::with_capacity(references.len());
        for reference in references {
            known.push(self.current(self.products.get(reference).await));
        }
        let mark = self.mark();
        let missing: Vec<_> =
            references.iter().zip(&mut known).filter(|(_, product)| product.is_none()).collect();
        let again: HashSet<_> = missing
            .iter()
            .map(|(reference, _)| *reference)
            .filter(|reference| self.door.knows(reference))
            .cloned()
            .collect();
        let names = match &self.shared {
            Some(_) => missing.iter().map(|(reference, _)| product_name(reference)).collect(),
            None => Vec::new(),
        };
        let Some(LookUp { found, mark: shared }) = self.look_up(names).await else {
            return (known, Reading { mark, shared: None, again });
        };
        for ((_, product), found) in missing.into_iter().zip(found) {
            // What cannot be read was written by another release.
            let shown =
                found.and_then(|found| Some((serde_json::from_slice(&found.value).ok()?, found.read_at)));
            if let Some((shown, read_at)) = shown {
                let shown = Arc::new(shown);
                self.keep_own_product(ReadMark { read_at, ..mark }, &again, &shown).await;
                *product = Some(shown);
            }
        }
        (known, Reading { mark, shared: Some(shared), again })
    }

    /// Remembers what was read after the reading began.
    pub(crate) async fn keep_products(&self, reading: &Reading, read: &[Arc<Versioned>]) {
        for shown in read {
            self.keep_own_product(reading.mark, &reading.again, shown).await;
        }
        let Some((shared, mark)) = self.shared.as_ref().zip(reading.shared.as_ref()) else {
            return;
        };
        let mut entries = Vec::with_capacity(read.len() * 2);
        for shown in read {
            let Ok(value) = serde_json::to_vec(shown.as_ref()) else { continue };
            for reference in references_of(shown) {
                entries.push((product_name(&reference), value.clone()));
            }
        }
        let entries: Vec<_> = entries.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        shared.keep(mark, &entries).await;
    }

    /// Under each reference by which it was asked for again.
    async fn keep_own_product(&self, mark: ReadMark, again: &HashSet<ProductRef>, shown: &Arc<Versioned>) {
        for reference in references_of(shown) {
            if again.contains(&reference) {
                self.products.insert(reference, Entry { mark, value: shown.clone() }).await;
            }
        }
    }

    /// The page, or what `read` gives, which is asked only if needed and then remembered.
    pub(crate) async fn page<E>(
        &self,
        key: PageKey,
        read: impl Future<Output = Result<Bytes, E>>,
    ) -> Result<Bytes, E> {
        if let Some(page) = self.current(self.pages.get(&key).await) {
            return Ok(page);
        }
        let mark = self.mark();
        let name = page_name(&key);
        let looked = self.look_up(vec![name.clone()]).await;
        let (found, shared) = looked
            .map_or((None, None), |LookUp { found, mark }| (found.into_iter().next().flatten(), Some(mark)));
        if let Some(found) = found {
            let page = Bytes::from(found.value);
            let mark = ReadMark { read_at: found.read_at, ..mark };
            self.pages.insert(key, Entry { mark, value: page.clone() }).await;
            return Ok(page);
        }
        let page = read.await?;
        self.pages.insert(key, Entry { mark, value: page.clone() }).await;
        if let (Some(store), Some(mark)) = (&self.shared, &shared) {
            store.keep(mark, &[(&name, &page)]).await;
        }
        Ok(page)
    }

    async fn look_up(&self, names: Vec<String>) -> Option<LookUp> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if names.is_empty() { None } else { self.shared.as_ref()?.look_up(&names).await }
    }

    fn current<V>(&self, entry: Option<Entry<V>>) -> Option<V> {
        entry
            .filter(|entry| entry.mark.generation == self.generation.load(Ordering::SeqCst))
            .filter(|entry| self.clock.now().since(entry.mark.read_at) < self.lifetime)
            .map(|entry| entry.value)
    }
}

/// How a product may be asked for.
fn references_of(shown: &Versioned) -> [ProductRef; 2] {
    [ProductRef::Id(shown.product.id), ProductRef::Sku(shown.product.sku.clone())]
}

fn shelf<K, V>(
    kib: u64,
    lifetime: Duration,
    bytes: impl Fn(&V) -> usize + Send + Sync + 'static,
) -> Moka<K, Entry<V>>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Moka::builder()
        .max_capacity(kib)
        .weigher(move |_, entry: &Entry<V>| {
            u32::try_from(bytes(&entry.value) / 1_024 + 1).unwrap_or(u32::MAX)
        })
        .time_to_live(lifetime)
        .build()
}

fn size_of_product(shown: &Versioned) -> usize {
    let product = &shown.product;
    let attributes = serde_json::to_string(&product.attributes).map_or(0, |text| text.len());
    // Twice: the product, and the same as JSON, which comes later.
    let once = product.name.len()
        + product.description.as_ref().map_or(0, String::len)
        + product.image_url.as_ref().map_or(0, String::len)
        + attributes;
    2 * once
}

#[cfg(test)]
mod tests {
    use platform::system::SystemIds;
    use testkit::{TestClock, TestRedis};

    use super::*;

    /// Reads a page that the database would give as `answer`.
    async fn read(cache: &Cache, answer: &'static str) -> Bytes {
        cache
            .page(PageKey::Categories, async { Ok::<_, ()>(Bytes::from_static(answer.as_bytes())) })
            .await
            .unwrap()
    }

    #[test]
    fn what_a_slow_reader_read_before_a_change_is_not_used_after_it() {
        testkit::run(async {
            let clock = Arc::new(TestClock::default());
            let system = System::new(clock.clone(), Arc::new(SystemIds));
            let cache = Cache::new(&Settings::default(), &system, None);
            let slow = cache.page(PageKey::Categories, async {
                cache.forget().await;
                Ok::<_, ()>(Bytes::from_static(b"old"))
            });
            assert_eq!(slow.await.unwrap(), "old");
            assert_eq!(read(&cache, "new").await, "new");
            assert_eq!(read(&cache, "newer").await, "new", "it is remembered");
            cache.forget().await;
            assert_eq!(read(&cache, "newer").await, "newer");
            clock.advance(Duration::from_secs(29));
            assert_eq!(read(&cache, "newest").await, "newer");
            clock.advance(Duration::from_secs(1));
            assert_eq!(read(&cache, "newest").await, "newest");
        });
    }

    /// The cache of a replica that has met the store.
    async fn replica(redis: &TestRedis) -> Cache {
        let system = System::new(Arc::new(TestClock::default()), Arc::new(SystemIds));
        let cache = Cache::new(&Settings::default(), &system, Some(redis.store().await));
        assert!(cache.look_up(vec!["anything".to_owned()]).await.is_some());
        cache
    }

    #[test]
    fn what_a_slow_reader_read_before_a_change_elsewhere_is_not_shared_after_it() {
        let Some(url) = testkit::redis_url() else { return };
        testkit::run(async {
            let redis = TestRedis::create(url);
            let (slow, writer, third) = (replica(&redis).await, replica(&redis).await, replica(&redis).await);
            let reading = slow.page(PageKey::Categories, async {
                writer.forget().await;
                Ok::<_, ()>(Bytes::from_static(b"old"))
            });
            assert_eq!(reading.await.unwrap(), "old");
            assert_eq!(read(&third, "new").await, "new", "the old answer was not shared");
            assert_eq!(read(&slow, "newer").await, "old", "its own memory waits for the event");
            slow.forget().await;
            assert_eq!(read(&slow, "newer").await, "newer");
            assert_eq!(read(&writer, "newest").await, "newer", "that one was shared");
        });
    }

    #[test]
    fn every_question_has_a_name_of_its_own() {
        use crate::app::list::Place;
        use crate::domain::search::Words;
        use crate::domain::sort::Sort;
        use crate::store::products::Filter;

        let filter = Filter {
            active: true,
            category: None,
            words: Words::default(),
            min_price_minor: None,
            max_price_minor: None,
        };
        let listing =
            Listing { filter: filter.clone(), sort: Sort::default(), limit: 20, place: Place::Start };
        let narrowed = [
            Filter { active: false, ..filter.clone() },
            Filter { category: Some("X".to_owned()), ..filter.clone() },
            Filter { words: Words::parse("x").unwrap(), ..filter.clone() },
            Filter { words: Words::parse("x y").unwrap(), ..filter.clone() },
            Filter { words: Words::parse("x,y").unwrap(), ..filter.clone() },
            Filter { min_price_minor: Some(1), ..filter.clone() },
            Filter { max_price_minor: Some(1), ..filter },
        ];
        let mut keys: Vec<PageKey> = narrowed
            .into_iter()
            .map(|filter| PageKey::Products(Listing { filter, ..listing.clone() }))
            .collect();
        keys.extend(Sort::ALL.map(|sort| PageKey::Products(Listing { sort, ..listing.clone() })));
        for place in
            [Place::After("a".to_owned()), Place::After("b".to_owned()), Place::Page(1), Place::Page(2)]
        {
            keys.push(PageKey::Products(Listing { place, ..listing.clone() }));
        }
        keys.push(PageKey::Products(Listing { limit: 21, ..listing }));
        keys.push(PageKey::Categories);
        let names: std::collections::BTreeSet<String> = keys.iter().map(page_name).collect();
        assert_eq!(names.len(), keys.len());
    }
}
