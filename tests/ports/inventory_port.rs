//! The port of `inventory`.

use std::sync::Arc;

use contracts::audit::By;
use contracts::inventory::{
    AdjustRefusal, AdjustStock, InventoryPort, OpeningStock, ReleaseRefusal, ReserveRefusal, ReserveStock,
    Shortage, StockLevel, StockLine,
};
use contracts::orders::{OrderStatus, OrderStatusChanged};
use contracts::port::PortError;
use futures_util::future::join_all;
use inventory::{Deps, Inventory, Settings};
use kernel::{OrderId, Quantity, ReservationId, UserId};
use platform::db::Db;
use testkit::fakes::{gbp, sku};
use testkit::{Bench, Engine, TestApp, fresh_id};

use crate::stage::{Form, Sides, assert_silent, refusal};

struct Stage {
    form: Form,
    port: Arc<dyn InventoryPort>,
    app: TestApp,
    db: Db,
    _bench: Bench,
}

const SIDES: Sides<dyn InventoryPort> =
    Sides { module: "inventory", routes: remote::inventory::routes, client: remote::inventory::client };

impl Stage {
    async fn open(engine: Engine, form: Form) -> Self {
        let bench = Bench::new(engine).await;
        let db = bench.db("inventory").await;
        let module = Inventory::new(Deps { db: db.clone(), settings: Settings::default() });
        let port = form.of(&bench, &SIDES, module.port());
        let app = TestApp::start(module, bench.tokens.verifier()).await;
        Self { form, port, app, db, _bench: bench }
    }

    async fn put(&self, stock: &[(&str, i64)]) {
        self.port.open(opening(stock)).await.unwrap();
    }

    async fn level(&self, text: &str) -> StockLevel {
        self.port.levels(&[sku(text)]).await.unwrap().remove(0)
    }

    async fn reserve(
        &self,
        id: ReservationId,
        lines: &[(&str, i64)],
    ) -> Result<(), PortError<ReserveRefusal>> {
        self.port.reserve(reservation(id, lines)).await
    }
}

fn opening(stock: &[(&str, i64)]) -> Vec<OpeningStock> {
    stock.iter().map(|(text, on_hand)| OpeningStock { sku: sku(text), on_hand: *on_hand }).collect()
}

fn reservation(id: ReservationId, lines: &[(&str, i64)]) -> ReserveStock {
    let lines = lines
        .iter()
        .map(|(text, pieces)| StockLine { sku: sku(text), quantity: Quantity::parse(*pieces).unwrap() })
        .collect();
    ReserveStock { reservation_id: id, order_id: OrderId(id.uuid()), lines }
}

fn fresh() -> ReservationId {
    ReservationId(fresh_id())
}

fn short(text: &str, requested: i64, available: i64) -> Shortage {
    Shortage { sku: sku(text), requested, available }
}

fn adjustment(text: &str, change: i64, reason: &str) -> AdjustStock {
    AdjustStock {
        movement_id: fresh_id(),
        sku: sku(text),
        change,
        reason: reason.to_owned(),
        by: By::User { user_id: UserId(fresh_id()) },
    }
}

conformance! { Stage:
    stock_is_opened_once,
    a_thousand_skus_are_opened_in_a_call,
    levels_are_those_of_known_skus,
    stock_is_reserved_once,
    what_falls_short_is_listed_and_nothing_held,
    a_released_reservation_holds_nothing_ever_again,
    what_was_shipped_is_not_released,
    an_adjustment_is_made_once,
    an_adjustment_that_was_refused_is_not_made_later,
    adjustments_that_cannot_be_are_refused,
    the_last_pieces_go_to_as_many_as_there_are,
    without_its_database_the_module_is_silent,
}

async fn stock_is_opened_once(stage: Stage) {
    let opened = stage.port.open(opening(&[("MUG", 7), ("LAMP", 0)])).await.unwrap();
    // Only the number cannot survive the loss of an answer: the second try finds all of them known.
    assert_eq!(opened, if stage.form == Form::Lossy { 0 } else { 2 });
    assert_eq!(stage.port.open(opening(&[("MUG", 9)])).await.unwrap(), 0);
    assert_eq!(stage.port.open(Vec::new()).await.unwrap(), 0);
    let mug = stage.level("MUG").await;
    assert_eq!((mug.on_hand, mug.reserved, mug.available), (7, 0, 7));
    stage.app.assert_healthy().await;
}

async fn a_thousand_skus_are_opened_in_a_call(stage: Stage) {
    let long = "X".repeat(59);
    let lines = (0..1_000).map(|n| OpeningStock { sku: sku(&format!("{long}-{n}")), on_hand: n }).collect();
    let opened = stage.port.open(lines).await.unwrap();
    assert_eq!(opened, if stage.form == Form::Lossy { 0 } else { 1_000 });
    assert_eq!(stage.level(&format!("{long}-999")).await.on_hand, 999);
}

async fn levels_are_those_of_known_skus(stage: Stage) {
    stage.put(&[("MUG", 1_000_000_000), ("LAMP", 3)]).await;
    let levels = stage.port.levels(&[sku("MUG"), sku("SOFA"), sku("LAMP")]).await.unwrap();
    let (lamp, mug) = (&levels[0], &levels[1]);
    assert_eq!((levels.len(), lamp.sku.as_str(), mug.sku.as_str()), (2, "LAMP", "MUG"));
    assert_eq!((mug.on_hand, mug.low_stock_threshold, lamp.available), (1_000_000_000, 5, 3));
    assert_eq!(stage.port.levels(&[]).await.unwrap(), []);
    let hundred: Vec<_> = (0..100).map(|n| sku(&format!("NONE-{n}"))).collect();
    assert_eq!(stage.port.levels(&hundred).await.unwrap(), []);
}

async fn stock_is_reserved_once(stage: Stage) {
    stage.put(&[("MUG", 10), ("LAMP", 5)]).await;
    let id = fresh();
    // The same SKU twice is summed.
    let lines = [("MUG", 2), ("LAMP", 5), ("MUG", 3)];
    for _ in 0..2 {
        stage.reserve(id, &lines).await.unwrap();
        assert_eq!((stage.level("MUG").await.reserved, stage.level("LAMP").await.available), (5, 0));
    }
    stage.app.assert_healthy().await;
}

async fn what_falls_short_is_listed_and_nothing_held(stage: Stage) {
    stage.put(&[("MUG", 10), ("LAMP", 5)]).await;
    let id = fresh();
    let asked = [("SOFA", 1), ("MUG", 10), ("LAMP", 6)];
    let expected = ReserveRefusal::Insufficient(vec![short("LAMP", 6, 5), short("SOFA", 1, 0)]);
    for _ in 0..2 {
        assert_eq!(refusal(stage.reserve(id, &asked).await), expected);
    }
    assert_eq!(stage.level("MUG").await.reserved, 0);
    // Nothing was held, so the id may still hold something.
    stage.reserve(id, &[("MUG", 10)]).await.unwrap();
    let later = refusal(stage.reserve(fresh(), &[("MUG", 1)]).await);
    assert_eq!(later, ReserveRefusal::Insufficient(vec![short("MUG", 1, 0)]));
}

async fn a_released_reservation_holds_nothing_ever_again(stage: Stage) {
    stage.put(&[("MUG", 10)]).await;
    let (held, never_held) = (fresh(), fresh());
    stage.reserve(held, &[("MUG", 4)]).await.unwrap();
    for id in [held, never_held] {
        for _ in 0..2 {
            stage.port.release(id, OrderId(id.uuid())).await.unwrap();
        }
        assert_eq!(refusal(stage.reserve(id, &[("MUG", 1)]).await), ReserveRefusal::Released);
        assert_eq!(refusal(stage.reserve(id, &[("MUG", 1)]).await), ReserveRefusal::Released);
    }
    assert_eq!(stage.level("MUG").await.available, 10);
    stage.app.assert_healthy().await;
}

async fn what_was_shipped_is_not_released(stage: Stage) {
    stage.put(&[("MUG", 10)]).await;
    let id = fresh();
    let order_id = OrderId(id.uuid());
    stage.reserve(id, &[("MUG", 4)]).await.unwrap();
    let shipped = OrderStatusChanged {
        order_id,
        number: "1".to_owned(),
        user_id: None,
        from: OrderStatus::Processing,
        to: OrderStatus::Shipped,
        total: gbp(100),
        reservation_id: Some(id),
        actor_id: None,
        reason: None,
    };
    stage.app.deliver(fresh_id(), &shipped).await.unwrap();
    for _ in 0..2 {
        assert_eq!(refusal(stage.port.release(id, order_id).await), ReleaseRefusal::Shipped);
    }
    let mug = stage.level("MUG").await;
    assert_eq!((mug.on_hand, mug.reserved), (6, 0));
}

async fn an_adjustment_is_made_once(stage: Stage) {
    stage.put(&[("MUG", 10)]).await;
    let came = adjustment("MUG", 5, "délivré 📦");
    for _ in 0..2 {
        let level = stage.port.adjust(came.clone()).await.unwrap();
        assert_eq!((level.on_hand, level.available), (15, 15));
        assert_eq!(level, stage.level("MUG").await);
    }
    // A SKU without a record gets one.
    let new = AdjustStock { by: By::Shop, ..adjustment("SOFA", 2, &"x".repeat(200)) };
    assert_eq!(stage.port.adjust(new).await.unwrap().on_hand, 2);
    stage.app.assert_healthy().await;
}

/// Nobody waits for it any more: whoever asked was told that it was not made.
async fn an_adjustment_that_was_refused_is_not_made_later(stage: Stage) {
    stage.put(&[("MUG", 6)]).await;
    for (text, before) in [("MUG", 6), ("VASE", 0)] {
        let gone = adjustment(text, -7, "broken");
        let too_few = |available| AdjustRefusal::Insufficient { sku: sku(text), available };
        assert_eq!(refusal(stage.port.adjust(gone.clone()).await), too_few(before));
        stage.port.adjust(adjustment(text, 10, "came")).await.unwrap();
        assert_eq!(refusal(stage.port.adjust(gone).await), too_few(before + 10));
        assert_eq!(stage.port.adjust(adjustment(text, -7, "broken")).await.unwrap().on_hand, before + 3);
    }
}

async fn adjustments_that_cannot_be_are_refused(stage: Stage) {
    stage.put(&[("MUG", 10)]).await;
    stage.reserve(fresh(), &[("MUG", 4)]).await.unwrap();
    let too_much = AdjustRefusal::Insufficient { sku: sku("MUG"), available: 6 };
    let cases = [
        (adjustment("MUG", -7, "broken"), too_much),
        (adjustment("MUG", 0, "nothing"), AdjustRefusal::InvalidChange),
        (adjustment("MUG", 1_000_000_000, "all of them"), AdjustRefusal::InvalidChange),
        (adjustment("MUG", i64::MAX, "and more"), AdjustRefusal::InvalidChange),
        (adjustment("MUG", i64::MIN, "and less"), AdjustRefusal::InvalidChange),
        (adjustment("MUG", 1, ""), AdjustRefusal::InvalidReason),
        (adjustment("MUG", 1, "a\u{7}b"), AdjustRefusal::InvalidReason),
        (adjustment("MUG", 1, &"x".repeat(201)), AdjustRefusal::InvalidReason),
    ];
    for (wanted, why) in cases {
        for _ in 0..2 {
            assert_eq!(refusal(stage.port.adjust(wanted.clone()).await), why, "{wanted:?}");
        }
    }
    assert_eq!(stage.level("MUG").await.on_hand, 10);
}

async fn the_last_pieces_go_to_as_many_as_there_are(stage: Stage) {
    stage.put(&[("MUG", 3)]).await;
    let crowd = stage.form.crowd();
    let buyers = (0..crowd).map(|_| stage.port.reserve(reservation(fresh(), &[("MUG", 1)])));
    let (won, lost): (Vec<_>, Vec<_>) = join_all(buyers).await.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (3, crowd - 3));
    for lost in lost {
        let ReserveRefusal::Insufficient(shortages) = refusal(lost) else { panic!("nobody released it") };
        assert_eq!((shortages.len(), shortages[0].sku.as_str(), shortages[0].requested), (1, "MUG", 1));
    }
    stage.app.assert_healthy().await;
}

async fn without_its_database_the_module_is_silent(stage: Stage) {
    stage.db.close().await.unwrap();
    let id = fresh();
    assert_silent("inventory", stage.reserve(id, &[("MUG", 1)]).await);
    assert_silent("inventory", stage.port.release(id, OrderId(id.uuid())).await);
    assert_silent("inventory", stage.port.levels(&[sku("MUG")]).await);
    assert_silent("inventory", stage.port.adjust(adjustment("MUG", 1, "came")).await);
    assert_silent("inventory", stage.port.open(opening(&[("MUG", 1)])).await);
    // What is wrong in itself is refused before anyone is asked.
    assert_eq!(refusal(stage.port.adjust(adjustment("MUG", 0, "x")).await), AdjustRefusal::InvalidChange);
}
