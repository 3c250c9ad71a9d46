//! What was read lately, in memory.
//!
//! Every change by this process makes all of it worthless at once: a counter goes up after the commit, before the
//! caller is answered, and what was read under an older count is not used. An entry also remembers the count from
//! *before* its query ran, so a slow reader cannot put back what a writer has just replaced. Changes by other processes
//! on the same database show at the latest when the entry is as old as `cache_ttl_s`.
//!
//! Rejected: removing only the keys that changed. A reader that is under way would put the old value back afterwards,
//! and a catalogue is read thousands of times for one change.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use contracts::catalog::ProductRef;
use kernel::{Clock, Timestamp};
use moka::future::Cache as Moka;

use crate::Settings;
use crate::app::list::Listing;
use crate::product::Versioned;

/// An answer that is kept as the bytes that were sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum PageKey {
    Products(Listing),
    Categories,
}

/// From before a query: what is put in with it is as old as this.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadMark {
    generation: u64,
    read_at: Timestamp,
}

#[derive(Clone)]
struct Entry<V> {
    mark: ReadMark,
    value: V,
}

/// The cache of one process.
pub(crate) struct Cache {
    clock: Arc<dyn Clock>,
    lifetime: Duration,
    generation: AtomicU64,
    products: Moka<ProductRef, Entry<Arc<Versioned>>>,
    pages: Moka<PageKey, Entry<Bytes>>,
}

impl Cache {
    /// Holds `cache_entries` KiB of products, and half as much of lists: a product usually takes less than one.
    pub(crate) fn new(settings: &Settings, clock: Arc<dyn Clock>) -> Self {
        let lifetime = Duration::from_secs(settings.cache_ttl_s);
        Self {
            clock,
            lifetime,
            generation: AtomicU64::new(0),
            products: shelf(settings.cache_entries, lifetime, |shown: &Arc<Versioned>| {
                size_of_product(shown)
            }),
            pages: shelf(settings.cache_entries / 2, lifetime, |page: &Bytes| page.len()),
        }
    }

    /// Call it before the query whose result will be kept.
    pub(crate) fn mark(&self) -> ReadMark {
        ReadMark { generation: self.generation.load(Ordering::SeqCst), read_at: self.clock.now() }
    }

    /// Call it after every commit, whatever became of it.
    pub(crate) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// The product, or what `read` gives, which is asked only if needed and then remembered.
    pub(crate) async fn product<E>(
        &self,
        reference: &ProductRef,
        read: impl Future<Output = Result<Arc<Versioned>, E>>,
    ) -> Result<Arc<Versioned>, E> {
        if let Some(shown) = self.known_product(reference).await {
            return Ok(shown);
        }
        let mark = self.mark();
        let shown = read.await?;
        self.keep_product(mark, &shown).await;
        Ok(shown)
    }

    /// The product, if it is remembered.
    pub(crate) async fn known_product(&self, reference: &ProductRef) -> Option<Arc<Versioned>> {
        self.current(self.products.get(reference).await)
    }

    pub(crate) async fn keep_product(&self, mark: ReadMark, shown: &Arc<Versioned>) {
        let entry = Entry { mark, value: shown.clone() };
        self.products.insert(ProductRef::Id(shown.product.id), entry.clone()).await;
        self.products.insert(ProductRef::Sku(shown.product.sku.clone()), entry).await;
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
        let page = read.await?;
        self.pages.insert(key, Entry { mark, value: page.clone() }).await;
        Ok(page)
    }

    fn current<V>(&self, entry: Option<Entry<V>>) -> Option<V> {
        entry
            .filter(|entry| entry.mark.generation == self.generation.load(Ordering::SeqCst))
            .filter(|entry| self.clock.now().since(entry.mark.read_at) < self.lifetime)
            .map(|entry| entry.value)
    }
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
    product.name.len()
        + product.description.as_ref().map_or(0, String::len)
        + product.image_url.as_ref().map_or(0, String::len)
        + attributes
}

#[cfg(test)]
mod tests {
    use testkit::TestClock;

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
            let cache = Cache::new(&Settings::default(), clock.clone());
            let slow = cache.page(PageKey::Categories, async {
                cache.forget();
                Ok::<_, ()>(Bytes::from_static(b"old"))
            });
            assert_eq!(slow.await.unwrap(), "old");
            assert_eq!(read(&cache, "new").await, "new");
            assert_eq!(read(&cache, "newer").await, "new", "it is remembered");
            cache.forget();
            assert_eq!(read(&cache, "newer").await, "newer");
            clock.advance(Duration::from_secs(29));
            assert_eq!(read(&cache, "newest").await, "newer");
            clock.advance(Duration::from_secs(1));
            assert_eq!(read(&cache, "newest").await, "newest");
        });
    }
}
