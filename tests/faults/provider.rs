//! The provider takes the money and its answer is lost: whoever asks again, with a process killed in between, is charged once.

use std::time::{Duration, Instant};

use deployments::{Person, Running, Shop, Topology, await_that, block_on};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use testkit::Response;

use crate::load::assert_nothing_open;
use crate::{await_gone, fault, figures, shipped, with_shop};

const BUYERS: usize = 8;
const PRICE: i64 = 1_250;
/// How long a buyer asks again.
const PATIENCE: Duration = Duration::from_secs(60);
/// How soon after the restart every payment must have its end.
const RECOVERED_WITHIN: Duration = Duration::from_secs(10);
/// How long the shop waits for the provider before it asks again.
const PROVIDER_TIMEOUT_MS: u64 = 1_500;

pub fn trials() -> Vec<Trial> {
    [Topology::Sqlite, Topology::Postgres, Topology::Split]
        .into_iter()
        .map(|topology| {
            fault("providers_answer_lost", topology, &[], move || {
                let options = shipped().set("SOUK__PAYMENTS__PROVIDER_TIMEOUT_MS", PROVIDER_TIMEOUT_MS);
                with_shop("providers_answer_lost", topology, options, |shop| lost(shop, topology))
            })
        })
        .collect()
}

fn lost(running: &Running, topology: Topology) -> Result<(), String> {
    let shop = Shop::at(&running.address, "provider");
    let orders = block_on(place_all(&shop));
    // Without a kill first, and each wish sent twice at once.
    let (quiet, killed) = orders.split_at(BUYERS / 2);
    block_on(async {
        for (buyer, order) in quiet {
            let pay = || shop.pay(buyer, "lost", order, "tok_timeout_then_ok").unrecorded().send();
            let (first, second) = tokio::join!(pay(), pay());
            for answer in [first, second] {
                assert!([201, 409, 503].contains(&answer.status), "{} {}", answer.status, answer.text);
            }
            pay_to_the_end(&shop, buyer, order).await;
        }
    });
    // Then in the middle: the bank has charged, and the process that waits for its word dies.
    let process = if topology == Topology::Split { "payments" } else { "souk" };
    let waiting = std::thread::scope(|scope| {
        let begun = scope.spawn(|| block_on(begin_all(&running.address, killed)));
        let result = await_charges(running, topology, BUYERS).and_then(|()| running.kill(process));
        begun.join().map_err(|_| "a buyer panicked".to_owned()).and(result)
    });
    waiting?;
    await_gone(running, process)?;
    running.start_process(process)?;
    let back_at = Instant::now();
    // Connections of before are of no use.
    let shop = Shop::at(&running.address, "provider");
    block_on(async {
        for (buyer, order) in killed {
            pay_to_the_end(&shop, buyer, order).await;
        }
    });
    assert_nothing_open(running)?;
    let recovered = back_at.elapsed();
    if recovered > RECOVERED_WITHIN {
        return Err(format!("what the kill left behind was finished only after {recovered:?}"));
    }
    block_on(assert_charged_once(&shop, &orders));
    let charges = charges(running, topology)?;
    if charges != BUYERS {
        return Err(format!("the bank has charged {charges} times for {BUYERS} orders"));
    }
    running.assert_healthy()?;
    figures::add([
        "the provider's answer lost".to_owned(),
        topology.name().to_owned(),
        format!("{} payments", orders.len()),
        orders.len().to_string(),
        format!("{charges} charges"),
        "-".to_owned(),
        format!("{} after kill -9", figures::seconds(recovered)),
    ]);
    Ok(())
}

async fn place_all(shop: &Shop) -> Vec<(Person, Value)> {
    let admin = shop.admin().await;
    shop.offer(&admin, "LOST-MUG", PRICE, 100).await;
    let mut orders = Vec::new();
    for number in 0..BUYERS {
        let buyer = shop.newcomer(&format!("buyer{number}")).await;
        let order = shop.order(&buyer, "order", "LOST-MUG", 1).send().await.expect(201).json;
        orders.push((buyer, order));
    }
    orders
}

/// Everyone pays at once; whether an answer comes is no matter.
async fn begin_all(address: &str, orders: &[(Person, Value)]) {
    let mut paying = tokio::task::JoinSet::new();
    for (buyer, order) in orders {
        let method = json!({"type": "card", "token": "tok_timeout_then_ok"});
        let body = json!({"order_id": order["id"], "method": method, "capture": true});
        let request = deployments::client().post(format!("{address}/payments")).bearer_auth(&buyer.token);
        let request = request.header("Idempotency-Key", "lost").json(&body);
        paying.spawn(async move { request.send().await.is_ok() });
    }
    while paying.join_next().await.is_some() {}
}

/// Sends the same under the same key until there is a last word, which must be that it is paid.
async fn pay_to_the_end(shop: &Shop, buyer: &Person, order: &Value) -> Response {
    let give_up_at = Instant::now() + PATIENCE;
    loop {
        let answer = shop.pay(buyer, "lost", order, "tok_timeout_then_ok").unrecorded().send().await;
        match answer.status {
            201 => return answer,
            409 if answer.code() == "idempotency_key_in_progress" => {}
            503 => {}
            _ => panic!("paying again was answered {} {}", answer.status, answer.text),
        }
        assert!(Instant::now() < give_up_at, "no last word: {} {}", answer.status, answer.text);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Each order is confirmed and has one payment, of the whole amount.
async fn assert_charged_once(shop: &Shop, orders: &[(Person, Value)]) {
    for (buyer, order) in orders {
        let path = deployments::path_of("/orders", order);
        shop.until(&path, buyer, |order| order["status"] == "confirmed").await;
        let payments = shop.all("/payments", buyer).await;
        assert_eq!(payments.len(), 1, "{payments:?}");
        assert_eq!(payments[0]["captured"], deployments::pence(PRICE), "{payments:?}");
        assert_eq!(payments[0]["status"], "captured", "{payments:?}");
        let again = pay_to_the_end(shop, buyer, order).await;
        assert_eq!(again.json["id"], payments[0]["id"]);
    }
}

/// Waits until the bank has taken the money so many times.
fn await_charges(running: &Running, topology: Topology, wanted: usize) -> Result<(), String> {
    let charged = await_that(PATIENCE, || Ok((charges(running, topology)? >= wanted).then_some(())))?;
    charged.ok_or_else(|| "the bank did not charge".to_owned())
}

/// How often the bank has taken money, by its own books.
fn charges(running: &Running, topology: Topology) -> Result<usize, String> {
    let count = "SELECT count(*) FROM sandbox_charges";
    let counted = match topology {
        Topology::Sqlite => sqlite(running, count)?,
        _ => crate::sql(running, &count.replace("FROM ", "FROM payments."))?,
    };
    counted.parse().map_err(deployments::text)
}

/// Asks a database of a shop on SQLite.
fn sqlite(running: &Running, query: &str) -> Result<String, String> {
    use sea_orm::{ConnectionTrait, Database, Statement};
    let file = running.data().join("payments.sqlite");
    block_on(async {
        let db = Database::connect(format!("sqlite://{}?mode=ro", file.display())).await?;
        let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), query)).await?;
        let count: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
        db.close().await?;
        Ok(count.to_string())
    })
    .map_err(|error: sea_orm::DbErr| error.to_string())
}
