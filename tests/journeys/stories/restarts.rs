//! Processes that end and start again. These stories know that there are processes, and nothing else of how a shop runs.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use deployments::{Person, Shop, client, path_of, pence};
use deployments::{Running, block_on, text};

/// Customers who buy while processes restart.
const BUYERS: usize = 12;
/// Orders for each buyer, as many as there can be in the time.
const STOCK: i64 = 100_000;

/// What was acknowledged before every process was ended is there afterwards.
pub fn a_restart_loses_nothing(running: &Running) -> Result<(), String> {
    let shop = Shop::at(&running.address, "a_restart_loses_nothing");
    let (ada, order) = block_on(async {
        let (admin, ada) = (shop.admin().await, shop.newcomer("ada").await);
        shop.offer(&admin, "RESTART-MUG", 850, 5).await;
        let order = shop.order(&ada, "order", "RESTART-MUG", 1).send().await.expect(201).json;
        shop.pay(&ada, "pay", &order, "tok_ok").send().await.expect(201);
        (ada, order)
    });
    running.restart()?;
    let shop = Shop::at(&running.address, "a_restart_loses_nothing");
    block_on(async {
        let path = path_of("/orders", &order);
        let again = shop.until(&path, &ada, |order| order["status"] == "confirmed").await;
        assert_eq!((&again["number"], &again["items"]), (&order["number"], &order["items"]));
        let replay = shop.order(&ada, "order", "RESTART-MUG", 1).send().await.expect(201);
        assert_eq!((&replay.json["id"], replay.header("idempotency-replayed")), (&order["id"], "true"));
        assert_eq!(shop.all("/payments", &ada).await.len(), 1);
        assert_eq!(shop.available(&ada, "RESTART-MUG").await, 4);
    });
    Ok(())
}

/// Each process ends and starts again in its turn while customers buy. Requests with a key and reads never fail.
pub fn any_process_may_restart_under_load(running: &Running) -> Result<(), String> {
    let shop = Shop::at(&running.address, "any_process_may_restart_under_load");
    let processes = running.processes()?;
    if processes.len() < 2 {
        return Err(format!("there is nobody to stand in for another: {processes:?}"));
    }
    let names: Vec<String> = (0..BUYERS).map(|n| format!("buyer{n}")).collect();
    let buyers = block_on(async {
        let admin = shop.admin().await;
        shop.offer(&admin, "LOAD-MUG", 850, STOCK).await;
        join_all(names.iter().map(|name| shop.newcomer(name))).await
    });
    let over = AtomicBool::new(false);
    let (restarted, bought) = std::thread::scope(|scope| {
        let buying = scope.spawn(|| {
            block_on(join_all(buyers.iter().map(|buyer| buy_until(&running.address, buyer, &over))))
        });
        let restarted = processes.iter().try_for_each(|name| {
            running.restart_process(name).map_err(|failure| format!("{name}: {failure}"))
        });
        over.store(true, Ordering::Relaxed);
        (restarted, buying.join())
    });
    restarted?;
    let bought = bought.map_err(|_| "a buyer panicked".to_owned())?;
    let failures: Vec<&String> = bought.iter().flat_map(|bought| &bought.failures).collect();
    let orders: usize = bought.iter().map(|bought| bought.orders.len()).sum();
    if !failures.is_empty() {
        return Err(format!(
            "{} requests failed beside {orders} orders, such as:\n{}",
            failures.len(),
            failures.iter().take(10).map(|failure| failure.as_str()).collect::<Vec<_>>().join("\n"),
        ));
    }
    assert!(orders >= processes.len(), "only {orders} orders while {} processes restarted", processes.len());
    block_on(async {
        for (buyer, bought) in buyers.iter().zip(&bought) {
            let listed = shop.all("/orders", buyer).await;
            let ids: BTreeSet<&str> = listed.iter().filter_map(|order| order["id"].as_str()).collect();
            let acknowledged: BTreeSet<&str> = bought.orders.iter().map(String::as_str).collect();
            assert_eq!(
                (ids.len(), &ids),
                (listed.len(), &acknowledged),
                "each acknowledged order is there once"
            );
            let payments = shop.all("/payments", buyer).await;
            assert_eq!(payments.len(), acknowledged.len());
            assert!(payments.iter().all(|payment| payment["captured"] == pence(850)), "{payments:?}");
        }
    });
    deployments::say(&format!("{} restarts under load: {orders} orders paid, none lost", processes.len()));
    Ok(())
}

/// What one buyer got, and what went wrong.
#[derive(Default)]
struct Bought {
    orders: Vec<String>,
    failures: Vec<String>,
}

/// Orders, pays and looks, over and over.
async fn buy_until(address: &str, buyer: &Person, over: &AtomicBool) -> Bought {
    let (client, mut bought, mut round) = (client(), Bought::default(), 0_usize);
    while !over.load(Ordering::Relaxed) {
        round += 1;
        let line = json!({"items": [{"sku": "LOAD-MUG", "quantity": 1}]});
        let order =
            client.post(format!("{address}/orders")).header("Idempotency-Key", format!("order-{round}"));
        let order = match answer(order.json(&line), buyer, 201).await {
            Ok(order) => order,
            Err(failure) => {
                bought.failures.push(format!("POST /orders: {failure}"));
                continue;
            }
        };
        let id = order["id"].as_str().unwrap_or_default().to_owned();
        let paying = json!({"order_id": id, "method": {"type": "card", "token": "tok_ok"}, "capture": true});
        let pay =
            client.post(format!("{address}/payments")).header("Idempotency-Key", format!("pay-{round}"));
        let looks = [
            format!("/orders/{id}"),
            "/products/LOAD-MUG".to_owned(),
            "/cart".to_owned(),
            "/users/me".to_owned(),
            "/inventory/LOAD-MUG".to_owned(),
            "/notifications?limit=1".to_owned(),
            "/auth/.well-known/jwks.json".to_owned(),
        ];
        bought.orders.push(id);
        if let Err(failure) = answer(pay.json(&paying), buyer, 201).await {
            bought.failures.push(format!("POST /payments: {failure}"));
        }
        for path in looks {
            if let Err(failure) = answer(client.get(format!("{address}{path}")), buyer, 200).await {
                bought.failures.push(format!("GET {path}: {failure}"));
            }
        }
    }
    bought
}

/// The body of an answer with this status; anything else is a failure in words.
async fn answer(request: reqwest::RequestBuilder, buyer: &Person, status: u16) -> Result<Value, String> {
    let began = Instant::now();
    let took = |failure: String| format!("{failure} after {} ms", began.elapsed().as_millis());
    let answer = request.bearer_auth(&buyer.token).timeout(Duration::from_secs(30)).send().await;
    let answer = answer.map_err(|error| took(format!("{error:?}")))?;
    let found = answer.status().as_u16();
    let body = answer.text().await.map_err(|error| took(error.to_string()))?;
    if found != status {
        return Err(took(format!("{found} {body}")));
    }
    serde_json::from_str(&body).map_err(text)
}
