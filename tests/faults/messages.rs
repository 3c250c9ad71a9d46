//! Messages that come twice, out of order, late, or that nobody can handle: what happened stays as it is, and whoever has
//! nothing to do with it does not wait.

use std::time::{Duration, Instant};

use deployments::{Person, Running, Shop, Topology, block_on, path_of, text, variable};
use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::load::assert_nothing_open;
use crate::{fault, figures, shipped, sql, with_shop};

const SKU: &str = "LETTER-MUG";
/// How long the late one is held back.
const HELD_BACK: Duration = Duration::from_secs(10);
/// How soon what nobody can handle must be among the dead letters.
const DEAD_WITHIN: Duration = Duration::from_secs(60);
/// More purchases than a consumer takes messages at once: what was sent before them has been handled.
const FLUSHING: usize = 10;
/// How soon somebody else's order is confirmed while others' messages are stuck.
const OTHERS_WITHIN: Duration = Duration::from_secs(5);

pub fn trials() -> Vec<Trial> {
    vec![fault("odd_messages", Topology::Split, &[], || {
        with_shop("odd_messages", Topology::Split, shipped(), odd)
    })]
}

/// A shop with somebody at its broker.
struct Stage<'a> {
    running: &'a Running,
    shop: Shop,
    admin: Person,
    wire: Wire,
}

fn odd(running: &Running) -> Result<(), String> {
    let shop = Shop::at(&running.address, "letters");
    block_on(async {
        let admin = shop.admin().await;
        shop.offer(&admin, SKU, 700, 10_000).await;
        let wire = Wire::tap(running).await.map_err(text)?;
        let stage = Stage { running, shop, admin, wire };
        stage.twice_and_out_of_order().await?;
        stage.late().await?;
        stage.poison().await
    })?;
    running.assert_healthy()?;
    assert_nothing_open(running)
}

impl Stage<'_> {
    /// Everything that was said about an order that was paid and refunded is said again, in order and backwards.
    async fn twice_and_out_of_order(&self) -> Result<(), String> {
        let (buyer, order) = self.buy("twice").await;
        let payments = self.shop.all("/payments", &buyer).await;
        let refund = json!({"amount": order["total"]});
        self.shop.operate(&self.admin, &payments[0], "refund", "back", refund).send().await.expect(200);
        let refunded = |order: &Value| order["payment_status"] == "refunded";
        self.shop.until(&path_of("/orders", &order), &buyer, refunded).await;
        self.flush("before").await;

        let told = self.wire.heard_about(&[&order["id"], &payments[0]["id"]]).await?;
        let kinds: Vec<&str> = told.iter().map(|letter| letter.key.as_str()).collect();
        for kind in ["order.created", "payment.captured", "order.status_changed", "payment.refunded"] {
            assert!(kinds.contains(&kind), "{kind} is not among {kinds:?}");
        }
        let before = self.facts(&buyer, &order).await;
        for letter in told.iter().chain(told.iter().rev()) {
            self.wire.say_again(letter).await?;
        }
        self.flush("after").await;
        let after = self.facts(&buyer, &order).await;
        if before != after {
            return Err(format!("messages that came again changed something:\n{before}\n{after}"));
        }
        note("messages twice, out of order", told.len() * 2, "nothing changed");
        Ok(())
    }

    /// The word of a payment is held back; the order waits for it, and others do not.
    async fn late(&self) -> Result<(), String> {
        self.wire.keep_from("orders", "payment.captured").await?;
        let buyer = self.shop.newcomer("late").await;
        let order = self.shop.order(&buyer, "order", SKU, 1).send().await.expect(201).json;
        self.shop.pay(&buyer, "pay", &order, "tok_ok").send().await.expect(201);
        let payments = self.shop.all("/payments", &buyer).await;
        let held = self.wire.await_heard(&payments[0]["id"], "payment.captured").await?;
        self.wire.give_again("orders", "payment.captured").await?;
        let held_at = Instant::now();
        let mut round = 0;
        while held_at.elapsed() < HELD_BACK {
            round += 1;
            let begun = Instant::now();
            self.buy(&format!("late-other{round}")).await;
            assert!(begun.elapsed() < OTHERS_WITHIN, "others waited for {:?}", begun.elapsed());
            let waiting = self.shop.get(&path_of("/orders", &order)).bearer(&buyer.token).unrecorded();
            assert_eq!(waiting.send().await.expect(200).json["status"], "pending");
        }
        self.wire.say_to("orders", &held).await?;
        self.shop.until(&path_of("/orders", &order), &buyer, |order| order["status"] == "confirmed").await;
        note("a message 10 s late", 1, "confirmed when it came");
        Ok(())
    }

    /// What cannot be read, and what cannot be done: both are put aside with their cause, others flow, and what can be done
    /// again is done again.
    async fn poison(&self) -> Result<(), String> {
        let (buyer, order) = self.poisoned_order().await?;
        for garbage in [&b"\x00\xff no event"[..], b"{}", b"[1,2"] {
            self.wire.say_raw("orders", garbage).await?;
        }
        self.shop.pay(&buyer, "pay", &order, "tok_ok").send().await.expect(201);
        let poisoned_at = Instant::now();
        let mut slowest = Duration::ZERO;
        let mut round = 0;
        let dead = loop {
            round += 1;
            let begun = Instant::now();
            self.buy(&format!("poison-other{round}")).await;
            slowest = slowest.max(begun.elapsed());
            let dead = self.dead()?;
            if dead.len() >= 4 {
                break dead;
            }
            assert!(poisoned_at.elapsed() < DEAD_WITHIN, "only these have died: {dead:?}");
        };
        let died_after = poisoned_at.elapsed();
        assert!(slowest < OTHERS_WITHIN, "others waited for {slowest:?}");
        let no_ink =
            dead.iter().find(|letter| letter["cause"].as_str().is_some_and(|why| why.contains("no ink")));
        let no_ink = no_ink.ok_or_else(|| format!("none died of the cause: {dead:?}"))?;
        let unreadable = dead.iter().filter(|letter| letter["event_id"].is_null()).count();
        assert_eq!((dead.len(), unreadable), (4, 3), "{dead:?}");
        assert!(!self.running.ask_the_doctor()?.is_empty(), "the doctor does not name dead letters");

        sql(self.running, "DROP TRIGGER no_ink ON orders.orders; DROP FUNCTION orders.no_ink()")?;
        let id = no_ink["event_id"].as_str().unwrap_or_default();
        let replayed = self.running.operate(&["events", "dead", "replay", id])?;
        assert_eq!(replayed.code, Some(0), "{}{}", replayed.printed, replayed.errors);
        self.shop.until(&path_of("/orders", &order), &buyer, |order| order["status"] == "confirmed").await;
        self.wire.bury_for_good("orders").await?;
        let what = format!(
            "dead after {}, others within {}",
            figures::seconds(died_after),
            figures::seconds(slowest)
        );
        note("poison", dead.len(), &what);
        Ok(())
    }

    /// An order that `orders` cannot confirm: its database says no.
    async fn poisoned_order(&self) -> Result<(Person, Value), String> {
        let buyer = self.shop.newcomer("poisoned").await;
        let order = self.shop.order(&buyer, "order", SKU, 1).send().await.expect(201).json;
        let id = order["id"].as_str().unwrap_or_default();
        sql(
            self.running,
            &format!(
                "CREATE FUNCTION orders.no_ink() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'no ink'; END $$; \
                 CREATE TRIGGER no_ink BEFORE UPDATE ON orders.orders FOR EACH ROW \
                 WHEN (NEW.id = '{id}' AND NEW.status = 'confirmed') EXECUTE FUNCTION orders.no_ink()"
            ),
        )?;
        Ok((buyer, order))
    }

    /// What `souk events dead list` shows.
    fn dead(&self) -> Result<Vec<Value>, String> {
        let listed = self.running.operate(&["events", "dead", "list", "--json"])?.json()?;
        Ok(listed["dead"].as_array().cloned().unwrap_or_default())
    }

    /// Somebody buys something, and it is confirmed.
    async fn buy(&self, name: &str) -> (Person, Value) {
        let buyer = self.shop.newcomer(name).await;
        let order = self.shop.order(&buyer, "order", SKU, 1).send().await.expect(201).json;
        self.shop.pay(&buyer, "pay", &order, "tok_ok").send().await.expect(201);
        let path = path_of("/orders", &order);
        let order = self.shop.until(&path, &buyer, |order| order["status"] == "confirmed").await;
        (buyer, order)
    }

    /// Waits until whatever is on its way has been handled.
    async fn flush(&self, name: &str) {
        for number in 0..FLUSHING {
            let (buyer, _) = self.buy(&format!("flush-{name}{number}")).await;
            let told = |page: &Value| page["items"].as_array().is_some_and(|mails| mails.len() >= 4);
            self.shop.until("/notifications", &buyer, told).await;
        }
    }

    /// All that can be seen of a purchase, and what stock it holds.
    async fn facts(&self, buyer: &Person, order: &Value) -> String {
        let path = path_of("/orders", order);
        let mut facts = Vec::new();
        for path in
            [path.clone(), format!("{path}/timeline"), "/payments".to_owned(), "/notifications".to_owned()]
        {
            let answer = self.shop.get(&path).bearer(&buyer.token).unrecorded().send().await.expect(200);
            facts.push(answer.json.to_string());
        }
        let id = order["id"].as_str().unwrap_or_default();
        let held = format!(
            "SELECT count(*), sum(quantity) FROM inventory.reservation_lines WHERE reservation_id = '{id}'"
        );
        facts.push(sql(self.running, &held).unwrap_or_default());
        facts.join("\n")
    }
}

fn note(what: &str, messages: usize, came: &str) {
    let [requests, none] = [format!("{messages} messages"), "-".to_owned()];
    let topology = Topology::Split.name().to_owned();
    figures::add([
        what.to_owned(),
        topology,
        requests,
        none.clone(),
        "none".to_owned(),
        none,
        came.to_owned(),
    ]);
}

/// A message as it was on the wire.
#[derive(Debug, Clone)]
struct Letter {
    key: String,
    properties: BasicProperties,
    body: Vec<u8>,
}

/// Somebody at the broker who hears every event of one shop, and can say things in its place.
struct Wire {
    prefix: String,
    tap: String,
    channel: Channel,
    _connection: Connection,
    heard: tokio::sync::Mutex<Vec<Letter>>,
}

impl Wire {
    async fn tap(running: &Running) -> Result<Self, lapin::Error> {
        let prefix = running.prefix().unwrap_or_default().to_owned();
        let url = variable("TEST_RABBITMQ_URL").unwrap_or_default();
        let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let options = QueueDeclareOptions::exclusive().auto_delete();
        let tap = format!("{prefix}.tap");
        channel.queue_declare(tap.as_str().into(), options, FieldTable::default()).await?;
        let wire =
            Self { prefix, tap, channel, _connection: connection, heard: tokio::sync::Mutex::default() };
        wire.bind(&wire.tap, "#").await?;
        Ok(wire)
    }

    fn queue(&self, module: &str) -> String {
        format!("{}.{module}", self.prefix)
    }

    fn events(&self) -> String {
        format!("{}.events", self.prefix)
    }

    async fn bind(&self, queue: &str, key: &str) -> Result<(), lapin::Error> {
        let exchange = self.events();
        let options = QueueBindOptions::default();
        self.channel
            .queue_bind(queue.into(), exchange.as_str().into(), key.into(), options, FieldTable::default())
            .await
    }

    /// A module hears nothing of this kind.
    async fn keep_from(&self, module: &str, key: &str) -> Result<(), String> {
        let (queue, exchange) = (self.queue(module), self.events());
        let unbound = self.channel.queue_unbind(
            queue.as_str().into(),
            exchange.as_str().into(),
            key.into(),
            FieldTable::default(),
        );
        unbound.await.map_err(text)
    }

    /// It does again.
    async fn give_again(&self, module: &str, key: &str) -> Result<(), String> {
        self.bind(&self.queue(module), key).await.map_err(text)
    }

    /// Reads what has come.
    async fn listen(&self) -> Result<(), String> {
        let mut heard = self.heard.lock().await;
        let options = BasicGetOptions { no_ack: true };
        while let Some(BasicGetMessage { delivery, .. }) =
            self.channel.basic_get(self.tap.as_str().into(), options).await.map_err(text)?
        {
            let (key, properties) = (delivery.routing_key.to_string(), delivery.properties.clone());
            heard.push(Letter { key, properties, body: delivery.data });
        }
        Ok(())
    }

    /// All events of these aggregates until now, in order.
    async fn heard_about(&self, aggregates: &[&Value]) -> Result<Vec<Letter>, String> {
        self.listen().await?;
        let concerns = |letter: &&Letter| {
            let event: Value = serde_json::from_slice(&letter.body).unwrap_or_default();
            aggregates.iter().any(|id| event["aggregate_id"] == **id)
        };
        Ok(self.heard.lock().await.iter().filter(concerns).cloned().collect())
    }

    /// Waits for one event of an aggregate.
    async fn await_heard(&self, aggregate: &Value, key: &str) -> Result<Letter, String> {
        let give_up_at = Instant::now() + DEAD_WITHIN;
        loop {
            let heard = self.heard_about(&[aggregate]).await?;
            if let Some(letter) = heard.into_iter().find(|letter| letter.key == key) {
                return Ok(letter);
            }
            assert!(Instant::now() < give_up_at, "{key} was never said");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// To everybody who listens to such events.
    async fn say_again(&self, letter: &Letter) -> Result<(), String> {
        self.say(&self.events(), &letter.key, letter.properties.clone(), &letter.body).await
    }

    /// To one module only.
    async fn say_to(&self, module: &str, letter: &Letter) -> Result<(), String> {
        self.say("", &self.queue(module), letter.properties.clone(), &letter.body).await
    }

    /// Bytes, to one module.
    async fn say_raw(&self, module: &str, bytes: &[u8]) -> Result<(), String> {
        self.say("", &self.queue(module), BasicProperties::default().with_delivery_mode(2), bytes).await
    }

    async fn say(
        &self,
        exchange: &str,
        key: &str,
        properties: BasicProperties,
        body: &[u8],
    ) -> Result<(), String> {
        let options = BasicPublishOptions::default();
        let said = self.channel.basic_publish(exchange.into(), key.into(), options, body, properties);
        said.await.map_err(text)?.await.map_err(text).map(|_| ())
    }

    /// Throws away the dead letters of a module.
    async fn bury_for_good(&self, module: &str) -> Result<(), String> {
        let queue = format!("{}.dead", self.queue(module));
        let purged = self.channel.queue_purge(queue.as_str().into(), QueuePurgeOptions::default());
        purged.await.map_err(text).map(|_| ())
    }
}
