//! Stories of what replicas share in Redis: the cache, the counters, and the loss of both.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a story that goes wrong stops where it does"
)]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::ResponseError;
use futures_util::future::join_all;
use platform::problem::Problem;
use platform::rate_limit::{LimitReached, RateLimiter, Rule, Settings};
use platform::shared_cache::{LookUp, SharedCache};
use platform::shared_store::{Options, SharedStore};
use platform::system::{System, SystemIds};
use redis::Commands;
use testkit::{PATIENCE, Proxy, TestClock, TestRedis, redis_url, until};

const LIFETIME: Duration = Duration::from_secs(30);

/// Runs a story with room on a Redis server, if there is one.
fn with_redis<F: Future<Output = ()>>(story: impl FnOnce(Arc<TestRedis>, Arc<TestClock>) -> F) {
    if let Some(url) = redis_url() {
        testkit::run(async { story(Arc::new(TestRedis::create(url)), Arc::default()).await });
    }
}

fn cache_on(store: SharedStore, clock: &Arc<TestClock>) -> SharedCache {
    SharedCache::new(store, System::new(clock.clone(), Arc::new(SystemIds)), "test", LIFETIME)
}

/// The cache of a replica that has met the store before: the first look of each makes what others kept worthless.
async fn replica(redis: &TestRedis, clock: &Arc<TestClock>) -> SharedCache {
    let cache = cache_on(redis.store().await, clock);
    look(&cache, "anything").await.unwrap();
    cache
}

async fn look(cache: &SharedCache, name: &str) -> Option<LookUp> {
    cache.look_up(&[name]).await
}

async fn found(cache: &SharedCache, name: &str) -> Option<String> {
    let value = look(cache, name).await?.found.remove(0)?.value;
    Some(String::from_utf8(value).unwrap())
}

async fn put(cache: &SharedCache, name: &str, value: &str) {
    let mark = look(cache, name).await.unwrap().mark;
    cache.keep(&mark, &[(name, value.as_bytes())]).await;
}

#[test]
fn what_one_replica_keeps_the_others_find_until_something_changes() {
    with_redis(|redis, clock| async move {
        let (one, other) = (replica(&redis, &clock).await, replica(&redis, &clock).await);
        let mark = look(&one, "a").await.unwrap().mark;
        one.keep(&mark, &[("a", b"1"), ("b", b"2")]).await;
        let both = other.look_up(&["a", "nothing", "b"]).await.unwrap().found;
        let both: Vec<_> = both.into_iter().map(|found| found.map(|found| found.value)).collect();
        assert_eq!(both, [Some(b"1".to_vec()), None, Some(b"2".to_vec())]);
        other.forget().await;
        assert_eq!((found(&one, "a").await, found(&other, "b").await), (None, None));
    });
}

#[test]
fn a_slow_reader_cannot_put_back_what_was_replaced() {
    with_redis(|redis, clock| async move {
        let (slow, writer) = (replica(&redis, &clock).await, replica(&redis, &clock).await);
        let mark = look(&slow, "price").await.unwrap().mark;
        writer.forget().await;
        put(&writer, "price", "new").await;
        slow.keep(&mark, &[("price", b"old"), ("list", b"old")]).await;
        assert_eq!(found(&slow, "price").await.unwrap(), "new");
        assert_eq!(found(&writer, "list").await, None);
        // Nor after the store has lost everything, the generation included.
        let mark = look(&slow, "price").await.unwrap().mark;
        writer.forget().await;
        redis.flush();
        slow.keep(&mark, &[("price", b"old")]).await;
        assert_eq!(found(&writer, "price").await, None);
        slow.keep(&mark, &[("price", b"old")]).await;
        assert_eq!(found(&writer, "price").await, None);
    });
}

/// Does something to a key.
type Spoil = dyn Fn(&mut redis::Connection, &str);

#[test]
fn what_cannot_be_believed_is_not_there_and_is_replaced() {
    with_redis(|redis, clock| async move {
        let cache = replica(&redis, &clock).await;
        let mut connection = redis.connect();
        let value = "x".repeat(100);
        let spoil: [&Spoil; 7] = [
            &|redis, key| redis.set::<_, _, ()>(key, "garbage").unwrap(),
            &|redis, key| redis.set::<_, _, ()>(key, "").unwrap(),
            &|redis, key| redis.append::<_, _, ()>(key, "more").unwrap(),
            &|redis, key| redis.setrange::<_, _, ()>(key, 60, "y").unwrap(),
            &|redis, key| redis.setrange::<_, _, ()>(key, 600_000, "y").unwrap(),
            &|redis, key| redis.persist::<_, ()>(key).unwrap(),
            &|redis, key| {
                redis.del::<_, ()>(key).unwrap();
                redis.lpush::<_, _, ()>(key, "a list").unwrap();
            },
        ];
        for (number, spoil) in spoil.iter().enumerate() {
            put(&cache, "a", &value).await;
            assert_eq!(found(&cache, "a").await.as_ref(), Some(&value), "{number}");
            for key in redis.keys() {
                spoil(&mut connection, &key);
            }
            assert_eq!(found(&cache, "a").await, None, "{number}");
            cache.forget().await;
        }
        // A value that was moved to another name is not for that name.
        put(&cache, "a", &value).await;
        put(&cache, "b", "other").await;
        let entries: Vec<_> = redis.keys().into_iter().filter(|key| !key.ends_with("generation")).collect();
        let values: Vec<Vec<u8>> = entries.iter().map(|key| connection.get(key).unwrap()).collect();
        for (key, value) in entries.iter().zip(values.iter().rev()) {
            connection.set_ex::<_, _, ()>(key, value, 10).unwrap();
        }
        assert_eq!((found(&cache, "a").await, found(&cache, "b").await), (None, None));
    });
}

#[test]
fn a_generation_of_the_wrong_kind_is_replaced() {
    with_redis(|redis, clock| async move {
        let cache = replica(&redis, &clock).await;
        put(&cache, "a", "1").await;
        let generation = redis.keys().into_iter().find(|key| key.ends_with("generation")).unwrap();
        let mut connection = redis.connect();
        connection.del::<_, ()>(&generation).unwrap();
        connection.lpush::<_, _, ()>(&generation, "a list").unwrap();
        assert_eq!(found(&cache, "a").await, None);
        put(&cache, "a", "2").await;
        assert_eq!(found(&cache, "a").await.unwrap(), "2");
    });
}

#[test]
fn entries_end_by_either_clock_and_are_bounded() {
    with_redis(|redis, clock| async move {
        let (one, other) = (replica(&redis, &clock).await, replica(&redis, &clock).await);
        put(&one, "a", "1").await;
        for key in redis.keys() {
            let left: i64 = redis.connect().pttl(key).unwrap();
            assert!(left > 0, "every key ends");
        }
        clock.advance(Duration::from_secs(15));
        let read_at = look(&other, "a").await.unwrap().found.remove(0).unwrap().read_at;
        let age = SystemNow::of(&clock).since(read_at);
        assert!((Duration::from_secs(15)..LIFETIME).contains(&age), "{age:?}");
        clock.advance(Duration::from_secs(15));
        assert_eq!(found(&other, "a").await, None);
        // A reader that took longer than the lifetime keeps nothing.
        let mark = look(&one, "a").await.unwrap().mark;
        clock.advance(LIFETIME);
        one.keep(&mark, &[("a", b"2")]).await;
        assert_eq!(found(&other, "a").await, None);
        // A clock that is behind gives no entry a longer life than the store does.
        put(&one, "a", "3").await;
        let late = Arc::new(TestClock::default());
        let behind = replica(&redis, &late).await;
        put(&one, "a", "3").await;
        let read_at = look(&behind, "a").await.unwrap().found.remove(0).unwrap().read_at;
        assert!(read_at <= SystemNow::of(&late));
        // What is too large is left out, without the rest.
        let mark = look(&one, "b").await.unwrap().mark;
        one.keep(&mark, &[("large", &vec![0; 600 * 1_024]), ("b", b"4")]).await;
        assert_eq!((found(&one, "large").await, found(&one, "b").await), (None, Some("4".to_owned())));
    });
}

/// What a test clock says.
struct SystemNow;

impl SystemNow {
    fn of(clock: &TestClock) -> kernel::Timestamp {
        kernel::Clock::now(clock)
    }
}

/// A replica behind a proxy, which has met the store.
async fn behind(redis: &TestRedis, clock: &Arc<TestClock>) -> (Proxy, SharedStore, SharedCache) {
    let proxy = redis.proxy().await;
    let store = redis.store_through(&proxy).await;
    let cache = cache_on(store.clone(), clock);
    look(&cache, "anything").await.unwrap();
    (proxy, store, cache)
}

#[test]
fn a_change_that_the_store_was_not_told_is_told_before_it_is_trusted_again() {
    with_redis(|redis, clock| async move {
        let (proxy, store, cut_off) = behind(&redis, &clock).await;
        put(&cut_off, "price", "old").await;
        proxy.cut();
        cut_off.forget().await;
        assert!(look(&cut_off, "price").await.is_none(), "there is no store to look into");
        proxy.open();
        until("the store is connected again", || store.link().is_some()).await;
        assert_eq!(found(&cut_off, "price").await, None);
        // The same without a lost connection: what could have been missed is not trusted.
        put(&cut_off, "price", "old").await;
        assert_eq!(found(&cut_off, "price").await.unwrap(), "old");
        cut_off.distrust();
        assert_eq!(found(&cut_off, "price").await, None);
    });
}

#[test]
fn a_server_that_was_restored_from_an_old_snapshot_is_not_trusted() {
    with_redis(|redis, clock| async move {
        let (proxy, store, cache) = behind(&redis, &clock).await;
        put(&cache, "price", "old").await;
        let mut connection = redis.connect();
        let snapshot: Vec<(String, Vec<u8>)> =
            redis.keys().into_iter().map(|key| (key.clone(), connection.get(key).unwrap())).collect();
        cache.forget().await;
        put(&cache, "price", "new").await;
        proxy.cut();
        for (key, value) in snapshot {
            connection.set_ex::<_, _, ()>(key, value, 20).unwrap();
        }
        assert!(look(&cache, "price").await.is_none());
        proxy.open();
        until("the store is connected again", || store.link().is_some()).await;
        assert_eq!(found(&cache, "price").await, None);
    });
}

#[test]
fn a_silent_server_costs_one_short_wait() {
    with_redis(|redis, clock| async move {
        let (proxy, store, cache) = behind(&redis, &clock).await;
        put(&cache, "price", "old").await;
        let mark = look(&cache, "price").await.unwrap().mark;
        proxy.hang();
        let began = Instant::now();
        for _ in 0..20 {
            cache.keep(&mark, &[("price", b"old")]).await;
            assert!(look(&cache, "price").await.is_none());
            cache.forget().await;
        }
        assert!(began.elapsed() < PATIENCE * 5, "sixty calls took {:?}", began.elapsed());
        assert!(store.link().is_none());
        // What was sent into the silence arrives late, and does no harm.
        proxy.open();
        until("the store is connected again", || store.link().is_some()).await;
        assert_eq!(found(&cache, "price").await, None);
    });
}

#[test]
fn a_store_need_not_be_there_at_the_start() {
    with_redis(|redis, clock| async move {
        let proxy = redis.proxy().await;
        proxy.cut();
        let store = SharedStore::open(&redis.options_at(&proxy.url())).unwrap();
        let cache = cache_on(store.clone(), &clock);
        cache.forget().await;
        assert!(look(&cache, "a").await.is_none());
        proxy.open();
        until("the store is connected", || store.link().is_some()).await;
        put(&cache, "a", "1").await;
        assert_eq!(found(&cache, "a").await.unwrap(), "1");
        let nonsense = Options { url: "nonsense".to_owned(), prefix: "x".to_owned() };
        assert!(SharedStore::open(&nonsense).is_err());
    });
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn limiter(logins: u64, clock: &Arc<TestClock>, store: Option<SharedStore>) -> RateLimiter {
    let settings = Settings { login_per_minute: logins, guest_carts_per_minute: 0, ..Settings::default() };
    RateLimiter::new(settings, clock.clone(), store)
}

/// How many of several logins at once get through.
async fn admitted(limiters: &[&RateLimiter], client: &str, logins: usize) -> usize {
    let tries = (0..logins).map(|n| limiters[n % limiters.len()].count(Rule::Login, ip(client)));
    join_all(tries).await.into_iter().filter(Result::is_ok).count()
}

fn retry_after(reached: LimitReached) -> String {
    let response = Problem::from(reached).error_response();
    assert_eq!(response.status(), 429);
    response.headers().get("retry-after").unwrap().to_str().unwrap().to_owned()
}

#[test]
fn the_wait_is_told_in_whole_seconds_and_never_too_short() {
    for (wait_ms, told) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (59_999, "60"), (60_000, "60")] {
        assert_eq!(retry_after(LimitReached { retry_after: Duration::from_millis(wait_ms) }), told);
    }
}

#[test]
fn in_memory_a_window_ends_when_it_was_said_to() {
    testkit::run(async {
        let clock = Arc::new(TestClock::default());
        let limiter = limiter(3, &clock, None);
        assert_eq!(admitted(&[&limiter], "1.2.3.4", 50).await, 3);
        let first = limiter.count(Rule::Login, ip("1.2.3.4")).await.unwrap_err();
        assert!(first.retry_after <= Duration::from_secs(60), "{first:?}");
        // Others, and other rules, have counters of their own; a subscriber's network has one.
        assert_eq!(admitted(&[&limiter], "1.2.3.5", 50).await, 3);
        assert_eq!(admitted(&[&limiter], "2001:db8::1", 2).await, 2);
        assert_eq!(admitted(&[&limiter], "2001:db8::2", 2).await, 1);
        assert!(limiter.count(Rule::Registration, ip("1.2.3.4")).await.is_ok());
        for _ in 0..1_000 {
            assert!(limiter.count(Rule::GuestCart, ip("1.2.3.4")).await.is_ok(), "0 is no limit");
        }
        clock.advance(first.retry_after.saturating_sub(Duration::from_secs(5)));
        let last = limiter.count(Rule::Login, ip("1.2.3.4")).await.unwrap_err();
        assert!(last.retry_after <= Duration::from_secs(5), "{last:?}");
        clock.advance(last.retry_after);
        assert_eq!(admitted(&[&limiter], "1.2.3.4", 50).await, 3);
    });
}

#[test]
fn two_limiters_share_one_count() {
    with_redis(|redis, clock| async move {
        let (one, other) =
            (limiter(20, &clock, Some(redis.store().await)), limiter(20, &clock, Some(redis.store().await)));
        assert_eq!(admitted(&[&one, &other], "1.2.3.4", 100).await, 20);
        assert_eq!(admitted(&[&other], "1.2.3.5", 15).await, 15);
        assert_eq!(admitted(&[&one], "1.2.3.5", 15).await, 5);
        // The wait is that of the counter: when it is over, both let in again.
        let key = redis.keys().into_iter().find(|key| key.ends_with("login:1.2.3.4")).unwrap();
        let mut connection = redis.connect();
        let _: bool = connection.pexpire(&key, 1_500).unwrap();
        let reached = other.count(Rule::Login, ip("1.2.3.4")).await.unwrap_err();
        let left_ms: i64 = connection.pttl(&key).unwrap();
        let told_ms = i64::try_from(reached.retry_after.as_millis()).unwrap();
        assert!((left_ms..=1_500).contains(&told_ms), "{left_ms} {told_ms}");
        until("the counter is gone", || !redis.keys().contains(&key)).await;
        assert_eq!(admitted(&[&one, &other], "1.2.3.4", 100).await, 20);
    });
}

#[test]
fn a_counter_that_is_none_or_has_no_end_turns_nobody_away_for_good() {
    with_redis(|redis, clock| async move {
        let limiter = limiter(3, &clock, Some(redis.store().await));
        assert_eq!(admitted(&[&limiter], "1.2.3.4", 1).await, 1);
        let key = redis.keys().pop().unwrap();
        let mut connection = redis.connect();
        connection.set::<_, _, ()>(&key, "garbage").unwrap();
        assert_eq!(admitted(&[&limiter], "1.2.3.4", 50).await, 3, "counted in memory");
        connection.set::<_, _, ()>(&key, "1000").unwrap();
        let reached = limiter.count(Rule::Login, ip("1.2.3.4")).await.unwrap_err();
        assert!(reached.retry_after <= Duration::from_secs(60));
        let left: i64 = connection.pttl(&key).unwrap();
        assert!((1..=60_000).contains(&left), "{left}");
    });
}

#[test]
fn without_the_store_each_process_counts_for_itself_and_nobody_waits() {
    with_redis(|redis, clock| async move {
        let proxy = redis.proxy().await;
        let store = redis.store_through(&proxy).await;
        let (one, other) =
            (limiter(5, &clock, Some(store.clone())), limiter(5, &clock, Some(redis.store().await)));
        assert_eq!(admitted(&[&one, &other], "1.2.3.4", 50).await, 5);
        for lose in [Proxy::cut, Proxy::hang] {
            lose(&proxy);
            let began = Instant::now();
            assert_eq!(admitted(&[&one], "1.2.3.4", 50).await, 5, "in memory, and with the same limit");
            assert!(began.elapsed() < PATIENCE * 5, "fifty calls took {:?}", began.elapsed());
            assert!(other.count(Rule::Login, ip("1.2.3.4")).await.is_err(), "the other one still shares");
            proxy.open();
            until("the store is connected again", || store.link().is_some()).await;
            assert!(one.count(Rule::Login, ip("1.2.3.4")).await.is_err(), "it shares again");
            // The counters in memory are those of the outage.
            clock.advance(Duration::from_secs(60));
        }
    });
}
