//! The port of `orders`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use contracts::catalog::ProductRef;
use contracts::inventory::{
    AdjustRefusal, AdjustStock, InventoryPort, OpeningStock, ReleaseRefusal, ReserveRefusal, ReserveStock,
    Shortage, StockLevel,
};
use contracts::orders::{
    BeginPaymentRefusal, NewOrderLine, Order, OrderStatus, OrdersPort, PayableOrder, PaymentStatus,
    PlaceOrder, PlaceRefusal, PlacedOrder, PlacementKey,
};
use contracts::payments::{PaymentCaptured, PaymentFacts};
use contracts::port::{NoRefusal, PortError};
use contracts::users::Actor;
use futures_util::future::join_all;
use kernel::{Address, CartId, OrderId, PaymentId, ProductId, Quantity, ReservationId, Sku, UserId};
use orders::{Deps, Orders, Settings};
use platform::db::Db;
use testkit::fakes::{FakeCatalog, FakeInventory, gbp, sku};
use testkit::{Bench, Engine, TestApp, TestUser, fresh_id};

use crate::stage::{Form, Sides, assert_silent, refusal};

struct Stage {
    form: Form,
    port: Arc<dyn OrdersPort>,
    app: TestApp,
    catalog: Arc<FakeCatalog>,
    shelves: Arc<Shelves>,
    customer: TestUser,
    db: Db,
    bench: Bench,
}

const SIDES: Sides<dyn OrdersPort> =
    Sides { module: "orders", routes: remote::orders::routes, client: remote::orders::client };

impl Stage {
    async fn open(engine: Engine, form: Form) -> Self {
        let bench = Bench::new(engine).await;
        let db = bench.db("orders").await;
        let (catalog, shelves) = (Arc::new(FakeCatalog::default()), Arc::new(Shelves::default()));
        let module = Orders::new(Deps {
            db: db.clone(),
            settings: Settings::default(),
            catalog: catalog.clone(),
            inventory: shelves.clone(),
        });
        let port = form.of(&bench, &SIDES, module.port());
        let app = TestApp::start(module, bench.tokens.verifier()).await;
        let customer = bench.tokens.customer();
        let stage = Self { form, port, app, catalog, shelves, customer, db, bench };
        stage.sell("MUG", 850, 100);
        stage.sell("LAMP", 2_999, 50);
        stage
    }

    fn sell(&self, text: &str, price_minor: i64, pieces: i64) -> ProductId {
        self.shelves.stock.put(text, pieces);
        self.catalog.put(text, price_minor).product_id
    }

    fn wanted(&self, lines: &[(&str, i64)]) -> PlaceOrder {
        PlaceOrder {
            customer: self.customer.id,
            key: key(&fresh_id().to_string()),
            lines: lines.iter().map(|(text, pieces)| line(ProductRef::Sku(sku(text)), *pieces)).collect(),
            expected_total: None,
            shipping_address: None,
            cart_id: None,
        }
    }

    async fn place(&self, wanted: PlaceOrder) -> Result<PlacedOrder, PortError<PlaceRefusal>> {
        self.port.place(wanted).await
    }

    async fn placed(&self) -> Order {
        self.place(self.wanted(&[("MUG", 2)])).await.unwrap().order
    }

    async fn begin(
        &self,
        order_id: OrderId,
        payment_id: PaymentId,
    ) -> Result<PayableOrder, PortError<BeginPaymentRefusal>> {
        self.port.begin_payment(order_id, payment_id, self.customer.actor()).await
    }
}

fn key(text: &str) -> PlacementKey {
    PlacementKey { route: "POST /orders".to_owned(), key: text.to_owned(), request_hash: "00ff".repeat(16) }
}

fn line(product: ProductRef, pieces: i64) -> NewOrderLine {
    NewOrderLine { product, quantity: Quantity::parse(pieces).unwrap(), expected_price: None }
}

fn payment() -> PaymentId {
    PaymentId(fresh_id())
}

/// Shelves whose reservations can be made to be released already, as when a slow placement was given up for dead.
#[derive(Default)]
struct Shelves {
    stock: FakeInventory,
    burnt: AtomicBool,
}

#[async_trait]
impl InventoryPort for Shelves {
    async fn reserve(&self, request: ReserveStock) -> Result<(), PortError<ReserveRefusal>> {
        match self.burnt.load(Ordering::SeqCst) {
            true => Err(PortError::Refused(ReserveRefusal::Released)),
            false => self.stock.reserve(request).await,
        }
    }

    async fn release(&self, id: ReservationId, order_id: OrderId) -> Result<(), PortError<ReleaseRefusal>> {
        self.stock.release(id, order_id).await
    }

    async fn levels(&self, skus: &[Sku]) -> Result<Vec<StockLevel>, PortError<NoRefusal>> {
        self.stock.levels(skus).await
    }

    async fn adjust(&self, request: AdjustStock) -> Result<StockLevel, PortError<AdjustRefusal>> {
        self.stock.adjust(request).await
    }

    async fn open(&self, lines: Vec<OpeningStock>) -> Result<u64, PortError<NoRefusal>> {
        self.stock.open(lines).await
    }
}

conformance! { Stage:
    an_order_is_placed_once,
    a_hundred_lines_and_any_address_are_taken,
    a_crowd_with_one_key_places_one_order,
    orders_against_the_rules_are_refused,
    orders_against_the_catalogue_are_refused,
    want_of_stock_is_the_last_word_for_a_key,
    a_key_and_a_cart_are_good_for_one_order,
    a_placement_that_was_taken_over_is_still_running,
    a_payment_holds_an_order,
    orders_that_cannot_be_paid_say_why,
    only_the_payment_that_holds_an_order_gives_it_up,
    a_peer_that_is_silent_makes_the_placement_silent,
    without_its_database_the_module_is_silent,
}

async fn an_order_is_placed_once(stage: Stage) {
    let wanted = PlaceOrder { expected_total: Some(gbp(4_699)), ..stage.wanted(&[("MUG", 2), ("LAMP", 1)]) };
    let first = stage.place(wanted.clone()).await.unwrap();
    // That it was lost once is the one thing that a caller can see.
    assert_eq!(first.replayed, stage.form == Form::Lossy);
    let order = &first.order;
    assert_eq!((order.user_id, order.status), (Some(stage.customer.id), OrderStatus::Pending));
    assert_eq!((order.total, order.payment_status), (gbp(4_699), PaymentStatus::Unpaid));
    let lines: Vec<_> =
        order.items.iter().map(|item| (item.sku.as_str(), item.quantity, item.line_total)).collect();
    assert_eq!(lines, [("MUG", 2, gbp(1_700)), ("LAMP", 1, gbp(2_999))]);
    for _ in 0..2 {
        let again = stage.place(wanted.clone()).await.unwrap();
        assert_eq!((again.order, again.replayed), (order.clone(), true));
    }
    assert_eq!(stage.shelves.stock.available(&sku("MUG")), 98);
    stage.app.assert_healthy().await;
}

async fn a_hundred_lines_and_any_address_are_taken(stage: Stage) {
    let fields = r#"{"line1":"12 St James's \"Square\"","city":"Αθήνα","country":"GR"}"#;
    let text = r#""1 High Street\nLondon""#;
    for address in [fields, text] {
        let address: Address = serde_json::from_str(address).unwrap();
        let wanted = PlaceOrder { shipping_address: Some(address.clone()), ..stage.wanted(&[("MUG", 1)]) };
        assert_eq!(stage.place(wanted).await.unwrap().order.shipping_address, Some(address));
    }
    let names: Vec<String> = (0..100).map(|n| format!("S-{n}")).collect();
    let mut wanted = stage.wanted(&[]);
    for name in &names {
        let id = stage.sell(name, 100, 10_000);
        wanted.lines.push(line(ProductRef::Id(id), 100));
    }
    let order = stage.place(wanted).await.unwrap().order;
    assert_eq!((order.items.len(), order.total), (100, gbp(1_000_000)));
}

async fn a_crowd_with_one_key_places_one_order(stage: Stage) {
    let wanted = stage.wanted(&[("MUG", 3)]);
    let crowd = join_all((0..6).map(|_| stage.place(wanted.clone()))).await;
    let placed: Vec<_> = crowd.into_iter().map(Result::unwrap).collect();
    assert!(placed.iter().all(|each| each.order == placed[0].order));
    if stage.form != Form::Lossy {
        assert_eq!(placed.iter().filter(|each| !each.replayed).count(), 1);
    }
    assert_eq!(stage.shelves.stock.available(&sku("MUG")), 97);
}

async fn orders_against_the_rules_are_refused(stage: Stage) {
    let names: Vec<String> = (0..101).map(|n| format!("S-{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    stage.sell("GOLD", 100_000_001, 10);
    stage.sell("SILVER", 100_000_000, i64::MAX);
    let mug = stage.catalog.put("MUG", 850).product_id;
    let mut twice = stage.wanted(&[("MUG", 1)]);
    twice.lines.push(line(ProductRef::Id(mug), 1));
    let cases = [
        (stage.wanted(&[]), PlaceRefusal::LineCount),
        (stage.wanted(&many), PlaceRefusal::LineCount),
        (stage.wanted(&[("MUG", 1), ("LAMP", 1), ("mug", 2)]), PlaceRefusal::DuplicateSku(sku("MUG"))),
        (twice, PlaceRefusal::DuplicateSku(sku("MUG"))),
        (stage.wanted(&[("GOLD", 1)]), PlaceRefusal::PriceTooHigh(sku("GOLD"))),
    ];
    for (wanted, why) in cases {
        for _ in 0..2 {
            assert_eq!(refusal(stage.place(wanted.clone()).await), why);
        }
    }
    assert!(stage.shelves.stock.held().is_empty());
}

async fn orders_against_the_catalogue_are_refused(stage: Stage) {
    stage.sell("SOFA", 100, 1);
    stage.catalog.retire("SOFA");
    let nobody = ProductRef::Id(ProductId(fresh_id()));
    let mut unknown = stage.wanted(&[("MUG", 1), ("GHOST", 1)]);
    unknown.lines.push(line(nobody.clone(), 1));
    let mut dearer = stage.wanted(&[("MUG", 1)]);
    dearer.lines[0].expected_price = Some(gbp(1));
    let changed = PlaceRefusal::PriceChanged { sku: sku("MUG"), expected: gbp(1), actual: gbp(850) };
    let total = PlaceOrder { expected_total: Some(gbp(-1)), ..stage.wanted(&[("MUG", 2)]) };
    let cases = [
        (unknown, PlaceRefusal::UnknownProduct(vec![ProductRef::Sku(sku("GHOST")), nobody])),
        (stage.wanted(&[("SOFA", 1)]), PlaceRefusal::RetiredProduct(vec![ProductRef::Sku(sku("SOFA"))])),
        (dearer, changed),
        (total, PlaceRefusal::TotalMismatch { expected: gbp(-1), actual: gbp(1_700) }),
    ];
    for (wanted, why) in cases {
        for _ in 0..2 {
            assert_eq!(refusal(stage.place(wanted.clone()).await), why);
        }
    }
    assert!(stage.shelves.stock.held().is_empty());
}

async fn want_of_stock_is_the_last_word_for_a_key(stage: Stage) {
    stage.sell("SOFA", 100, 1);
    let wanted = stage.wanted(&[("MUG", 1), ("SOFA", 2)]);
    let short =
        PlaceRefusal::InsufficientStock(vec![Shortage { sku: sku("SOFA"), requested: 2, available: 1 }]);
    assert_eq!(refusal(stage.place(wanted.clone()).await), short);
    stage.shelves.stock.put("SOFA", 10);
    assert_eq!(refusal(stage.place(wanted.clone()).await), short);
    stage.place(PlaceOrder { key: key("another"), ..wanted }).await.unwrap();
}

async fn a_key_and_a_cart_are_good_for_one_order(stage: Stage) {
    let cart_id = Some(CartId(fresh_id()));
    let wanted = PlaceOrder { cart_id, ..stage.wanted(&[("MUG", 1)]) };
    let order = stage.place(wanted.clone()).await.unwrap().order;
    let other_hash = PlacementKey { request_hash: "ff00".repeat(16), ..wanted.key.clone() };
    let reused = PlaceOrder { key: other_hash, ..wanted.clone() };
    assert_eq!(refusal(stage.place(reused).await), PlaceRefusal::KeyReused);
    let same_cart = PlaceOrder { key: key("another"), ..wanted.clone() };
    assert_eq!(refusal(stage.place(same_cart).await), PlaceRefusal::CartAlreadyOrdered);
    // Another customer's key of the same name is another key.
    let theirs = PlaceOrder { customer: UserId(fresh_id()), cart_id: None, ..wanted };
    assert_ne!(stage.place(theirs).await.unwrap().order.id, order.id);
}

async fn a_placement_that_was_taken_over_is_still_running(stage: Stage) {
    stage.shelves.burnt.store(true, Ordering::SeqCst);
    let wanted = stage.wanted(&[("MUG", 1)]);
    assert_eq!(refusal(stage.place(wanted.clone()).await), PlaceRefusal::KeyInProgress);
    stage.shelves.burnt.store(false, Ordering::SeqCst);
    assert_eq!(stage.place(wanted).await.unwrap().order.items.len(), 1);
}

async fn a_payment_holds_an_order(stage: Stage) {
    let (order, payment_id) = (stage.placed().await, payment());
    let due = PayableOrder {
        order_id: order.id,
        number: order.number.clone(),
        user_id: stage.customer.id,
        amount: gbp(1_700),
    };
    for _ in 0..2 {
        assert_eq!(stage.begin(order.id, payment_id).await.unwrap(), due);
    }
    assert_eq!(refusal(stage.begin(order.id, payment()).await), BeginPaymentRefusal::InProgress);
    let admin = stage.bench.tokens.admin().actor();
    assert_eq!(stage.port.begin_payment(order.id, payment_id, admin).await.unwrap(), due);
}

async fn orders_that_cannot_be_paid_say_why(stage: Stage) {
    let order = stage.placed().await;
    let stranger: Actor = stage.bench.tokens.customer().actor();
    let theirs = stage.port.begin_payment(order.id, payment(), stranger).await;
    assert_eq!(refusal(theirs), BeginPaymentRefusal::NotFound);
    let nothing = stage.begin(OrderId(fresh_id()), payment()).await;
    assert_eq!(refusal(nothing), BeginPaymentRefusal::NotFound);

    let payment_id = payment();
    stage.begin(order.id, payment_id).await.unwrap();
    let facts = PaymentFacts {
        payment_id,
        order_id: order.id,
        user_id: stage.customer.id,
        amount: order.total,
        captured: order.total,
        refunded: gbp(0),
    };
    stage.app.deliver(fresh_id(), &PaymentCaptured { payment: facts }).await.unwrap();
    assert_eq!(refusal(stage.begin(order.id, payment()).await), BeginPaymentRefusal::AlreadyPaid);

    let cancelled = stage.placed().await;
    let path = format!("/orders/{}/cancel", cancelled.id);
    stage.app.post(&path).by(&stage.customer).send().await.expect(200);
    let why = BeginPaymentRefusal::NotPayable(OrderStatus::Cancelled);
    for _ in 0..2 {
        assert_eq!(refusal(stage.begin(cancelled.id, payment()).await), why);
    }
}

async fn only_the_payment_that_holds_an_order_gives_it_up(stage: Stage) {
    let (order, first, second) = (stage.placed().await, payment(), payment());
    stage.begin(order.id, first).await.unwrap();
    stage.port.give_up_payment(order.id, second).await.unwrap();
    assert_eq!(refusal(stage.begin(order.id, second).await), BeginPaymentRefusal::InProgress);
    for _ in 0..2 {
        stage.port.give_up_payment(order.id, first).await.unwrap();
    }
    // What was given up or refused never begins, however late its call comes; another may.
    for ended in [first, second] {
        assert_eq!(refusal(stage.begin(order.id, ended).await), BeginPaymentRefusal::InProgress);
    }
    stage.begin(order.id, payment()).await.unwrap();
    // What does not hold it, or does not exist, has nothing to give up.
    stage.port.give_up_payment(order.id, first).await.unwrap();
    stage.port.give_up_payment(OrderId(fresh_id()), first).await.unwrap();
    assert_eq!(refusal(stage.begin(order.id, first).await), BeginPaymentRefusal::InProgress);
}

async fn a_peer_that_is_silent_makes_the_placement_silent(stage: Stage) {
    let wanted = stage.wanted(&[("MUG", 1)]);
    *stage.catalog.down.lock().unwrap() = true;
    assert_silent("orders", stage.place(wanted.clone()).await);
    *stage.catalog.down.lock().unwrap() = false;
    *stage.shelves.stock.down.lock().unwrap() = true;
    assert_silent("orders", stage.place(wanted.clone()).await);
    *stage.shelves.stock.down.lock().unwrap() = false;
    // The key was not spent.
    stage.place(wanted).await.unwrap();
    assert_eq!(stage.shelves.stock.available(&sku("MUG")), 99);
}

async fn without_its_database_the_module_is_silent(stage: Stage) {
    let order = stage.placed().await;
    stage.db.close().await.unwrap();
    assert_silent("orders", stage.place(stage.wanted(&[("MUG", 1)])).await);
    assert_silent("orders", stage.begin(order.id, payment()).await);
    assert_silent("orders", stage.port.give_up_payment(order.id, payment()).await);
    // What is wrong in itself is refused before anyone is asked.
    assert_eq!(refusal(stage.place(stage.wanted(&[])).await), PlaceRefusal::LineCount);
}
