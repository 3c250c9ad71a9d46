//! What payments do to an order.

use contracts::orders::{BeginPaymentRefusal, OrderStatusChanged, OrderUpdated};
use contracts::payments::{
    PaymentAuthorized, PaymentCaptured, PaymentFailed, PaymentRefunded, PaymentVoided,
};
use contracts::port::PortError;
use futures_util::future::join_all;
use kernel::{PaymentId, RefundId};
use testkit::fakes::gbp;
use testkit::{Engine, TestUser, fresh_id};

use crate::support::{Shop, facts, order_id};

async fn begin(
    shop: &Shop,
    user: &TestUser,
    id: &str,
    payment: PaymentId,
) -> Result<i64, BeginPaymentRefusal> {
    match shop.module.port().begin_payment(order_id(id), payment, user.actor()).await {
        Ok(due) => Ok(due.amount.amount_minor),
        Err(PortError::Refused(refusal)) => Err(refusal),
        Err(other) => panic!("{other:?}"),
    }
}

async fn captured(shop: &Shop, customer: &TestUser, id: &str, payment: PaymentId, minor: i64) {
    let event = PaymentCaptured { payment: facts(id, payment, customer, (minor, minor, 0)) };
    shop.app.deliver(fresh_id(), &event).await.unwrap();
}

async fn refunded(shop: &Shop, customer: &TestUser, id: &str, payment: PaymentId, minor: i64, so_far: i64) {
    let event = PaymentRefunded {
        payment: facts(id, payment, customer, (minor, minor, so_far)),
        refund_id: RefundId(fresh_id()),
        amount: gbp(10),
        reason: None,
    };
    shop.app.deliver(fresh_id(), &event).await.unwrap();
}

testkit::on_every_database! {
    async fn one_payment_holds_an_order_at_a_time(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, eve, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.customer(), shop.bench.tokens.admin());
        let id = shop.place(&ada, &[("MUG", 2)]).await;
        let payments: Vec<_> = (0..10).map(|_| PaymentId(fresh_id())).collect();
        assert_eq!(begin(&shop, &eve, &id, payments[0]).await, Err(BeginPaymentRefusal::NotFound));
        let unknown = fresh_id().to_string();
        assert_eq!(begin(&shop, &ada, &unknown, payments[0]).await, Err(BeginPaymentRefusal::NotFound));
        let begun = join_all(payments.iter().map(|payment| begin(&shop, &ada, &id, *payment))).await;
        assert_eq!(begun.iter().filter(|answer| **answer == Ok(1_700)).count(), 1, "{begun:?}");
        assert_eq!(begun.iter().filter(|answer| **answer == Err(BeginPaymentRefusal::InProgress)).count(), 9);
        let holder = payments[begun.iter().position(Result::is_ok).unwrap()];
        assert_eq!(begin(&shop, &ada, &id, holder).await, Ok(1_700));
        assert_eq!(shop.state(&id).await.1, "in_progress");

        // While it is under way the order stays where it is.
        let refused = shop.cancel(&ada, &id).await.expect_problem(409, "payment_in_progress");
        assert_eq!(refused.header("retry-after"), "1");
        shop.set_status(&admin, &id, "cancelled").await.expect_problem(409, "payment_in_progress");
        shop.advance(3_600);
        shop.app.work("orders.expire_unpaid").await;
        assert_eq!(shop.state(&id).await, ("pending".to_owned(), "in_progress".to_owned()));
        let sick: Vec<_> = shop.app.module().doctor().await.unwrap().into_iter().filter(|check| !check.holds()).map(|check| check.name).collect();
        assert!(sick.contains(&"orders.payments_end_in_time"), "{sick:?}");

        // Another payment cannot give it up; its own can, and then the order expires.
        let port = shop.module.port();
        port.give_up_payment(order_id(&id), PaymentId(fresh_id())).await.unwrap();
        assert_eq!(shop.state(&id).await.1, "in_progress");
        for _again in 0..2 {
            port.give_up_payment(order_id(&id), holder).await.unwrap();
        }
        assert_eq!(shop.state(&id).await.1, "unpaid");
        shop.app.work("orders.expire_unpaid").await;
        assert_eq!(shop.state(&id).await.0, "cancelled");
        let refusal = begin(&shop, &ada, &id, PaymentId(fresh_id())).await;
        assert_eq!(refusal, Err(BeginPaymentRefusal::NotPayable(contracts::orders::OrderStatus::Cancelled)));
        assert_eq!(shop.app.published::<OrderStatusChanged>().await.len(), 1);
        shop.app.assert_healthy().await;
    }

    async fn a_call_that_comes_late_begins_no_payment_that_has_ended(engine: Engine) {
        let shop = Shop::open(engine).await;
        let ada = shop.bench.tokens.customer();
        let id = shop.place(&ada, &[("MUG", 2)]).await;
        let port = shop.module.port();
        let late = || PaymentId(fresh_id());

        // Given up before its call came, and after.
        let (silent, holder) = (late(), late());
        port.give_up_payment(order_id(&id), silent).await.unwrap();
        assert_eq!(begin(&shop, &ada, &id, silent).await, Err(BeginPaymentRefusal::InProgress));
        assert_eq!(begin(&shop, &ada, &id, holder).await, Ok(1_700));

        // Refused, and the order could be paid when its twin comes.
        let refused = late();
        assert_eq!(begin(&shop, &ada, &id, refused).await, Err(BeginPaymentRefusal::InProgress));
        port.give_up_payment(order_id(&id), holder).await.unwrap();
        for ended in [refused, holder, silent] {
            assert_eq!(begin(&shop, &ada, &id, ended).await, Err(BeginPaymentRefusal::InProgress));
            assert_eq!(shop.state(&id).await.1, "unpaid");
        }

        // A wish that is meant comes under another id; and nothing is remembered for ever.
        let meant = late();
        assert_eq!(begin(&shop, &ada, &id, meant).await, Ok(1_700));
        port.give_up_payment(order_id(&id), meant).await.unwrap();
        shop.advance(24 * 3_600 + 1);
        shop.app.work("orders.recover_placements").await;
        assert_eq!(begin(&shop, &ada, &id, meant).await, Ok(1_700));
    }

    async fn an_order_changes_only_when_there_is_something_to_change(engine: Engine) {
        let shop = Shop::open(engine).await;
        let ada = shop.bench.tokens.customer();
        let id = shop.place(&ada, &[("MUG", 2)]).await;
        let port = shop.module.port();
        let tag = async || {
            let order = shop.app.get(&format!("/orders/{id}")).by(&ada).send().await.expect(200);
            (order.header("etag").to_owned(), order.json["updated_at"].clone())
        };
        let holder = PaymentId(fresh_id());
        begin(&shop, &ada, &id, holder).await.unwrap();
        let begun = tag().await;
        // The answer was lost, and the call comes again.
        begin(&shop, &ada, &id, holder).await.unwrap();
        assert_eq!(tag().await, begun);

        port.give_up_payment(order_id(&id), holder).await.unwrap();
        let given_up = tag().await;
        assert_ne!(given_up, begun);
        port.give_up_payment(order_id(&id), holder).await.unwrap();
        assert_eq!(tag().await, given_up);

        // One that does not hold it: whoever has read the order, to begin that payment, must read it again.
        port.give_up_payment(order_id(&id), PaymentId(fresh_id())).await.unwrap();
        assert_ne!(tag().await.0, given_up.0);
    }

    async fn paying_and_cancelling_at_once_ends_in_one_of_the_two(engine: Engine) {
        let shop = Shop::open(engine).await;
        let ada = shop.bench.tokens.customer();
        for _round in 0..10 {
            let id = shop.place(&ada, &[("MUG", 1)]).await;
            let paying = begin(&shop, &ada, &id, PaymentId(fresh_id()));
            let (cancelled, paid) = futures_util::future::join(shop.cancel(&ada, &id), paying).await;
            assert_ne!(cancelled.status == 200, paid.is_ok(), "{cancelled:?} {paid:?}");
        }
    }

    async fn a_captured_payment_confirms_the_order_once(engine: Engine) {
        let shop = Shop::open(engine).await;
        let ada = shop.bench.tokens.customer();
        let id = shop.place(&ada, &[("MUG", 2)]).await;
        let payment = shop.begin_payment(&ada, &id).await;
        let authorized = PaymentAuthorized { payment: facts(&id, payment, &ada, (1_700, 0, 0)) };
        let event = PaymentCaptured { payment: facts(&id, payment, &ada, (1_700, 1_700, 0)) };
        let (first, second) = (fresh_id(), fresh_id());
        for _redelivery in 0..2 {
            shop.app.deliver(first, &authorized).await.unwrap();
            shop.app.deliver(second, &event).await.unwrap();
        }
        assert_eq!(shop.state(&id).await, ("confirmed".to_owned(), "captured".to_owned()));
        assert_eq!(shop.timeline(&id).await, vec!["created", "payment_authorized", "payment_captured", "status_changed"]);
        let changed = shop.app.published::<OrderStatusChanged>().await;
        assert_eq!((changed.len(), changed[0].reason.as_deref()), (1, Some("payment_captured")));
        let updated = shop.app.published::<OrderUpdated>().await;
        assert_eq!(updated.len(), 2);
        assert_eq!(updated[1].order.status.as_str(), "confirmed");
        assert_eq!(begin(&shop, &ada, &id, PaymentId(fresh_id())).await, Err(BeginPaymentRefusal::AlreadyPaid));
        // An authorization that comes late changes nothing.
        shop.app.deliver(fresh_id(), &authorized).await.unwrap();
        assert_eq!(shop.state(&id).await.1, "captured");
        shop.app.assert_healthy().await;
    }

    async fn refunds_add_up_and_never_shrink(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.admin());
        let id = shop.place(&ada, &[("MUG", 2)]).await;
        let payment = shop.begin_payment(&ada, &id).await;
        captured(&shop, &ada, &id, payment, 1_700).await;
        refunded(&shop, &ada, &id, payment, 1_700, 500).await;
        assert_eq!(shop.state(&id).await.1, "partially_refunded");
        refunded(&shop, &ada, &id, payment, 1_700, 300).await;
        let revenue = || async { shop.app.get("/orders/analytics").by(&admin).send().await.expect(200).json["revenue"]["amount"].as_i64() };
        assert_eq!(revenue().await, Some(1_200));
        refunded(&shop, &ada, &id, PaymentId(fresh_id()), 1_700, 1_700).await;
        assert_eq!(shop.state(&id).await.1, "partially_refunded");
        shop.cancel(&ada, &id).await.expect(200);
        refunded(&shop, &ada, &id, payment, 1_700, 1_700).await;
        assert_eq!(shop.state(&id).await, ("cancelled".to_owned(), "refunded".to_owned()));
        assert_eq!(revenue().await, Some(0));
        let paid_before = shop.set_status(&admin, &id, "pending").await.expect_problem(409, "invalid_transition");
        assert!(paid_before.json["detail"].as_str().unwrap().contains("place a new one"));
        // More than the total cannot be given back: the schema refuses, and the event is set aside.
        let absurd = PaymentRefunded {
            payment: facts(&id, payment, &ada, (1_700, 9_999, 9_999)), refund_id: RefundId(fresh_id()), amount: gbp(1), reason: None,
        };
        assert!(shop.app.deliver(fresh_id(), &absurd).await.is_err());
        shop.app.assert_healthy().await;
    }

    async fn a_voided_or_failed_payment_leaves_the_order_unpaid(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.admin());
        let id = shop.place(&ada, &[("MUG", 2)]).await;
        let declined = shop.begin_payment(&ada, &id).await;
        shop.app.deliver(fresh_id(), &PaymentFailed { payment: facts(&id, declined, &ada, (1_700, 0, 0)) }).await.unwrap();
        assert_eq!(shop.state(&id).await.1, "unpaid");
        let held = shop.begin_payment(&ada, &id).await;
        // The failure of the first says nothing of the second.
        shop.app.deliver(fresh_id(), &PaymentFailed { payment: facts(&id, declined, &ada, (1_700, 0, 0)) }).await.unwrap();
        shop.app.deliver(fresh_id(), &PaymentAuthorized { payment: facts(&id, held, &ada, (1_700, 0, 0)) }).await.unwrap();
        assert_eq!(shop.state(&id).await.1, "authorized");
        shop.advance(1_700);
        shop.app.deliver(fresh_id(), &PaymentVoided { payment: facts(&id, held, &ada, (1_700, 0, 0)) }).await.unwrap();
        shop.advance(200);
        shop.app.work("orders.expire_unpaid").await;
        assert_eq!(shop.state(&id).await, ("pending".to_owned(), "unpaid".to_owned()), "the window began anew");
        shop.advance(1_700);
        shop.app.work("orders.expire_unpaid").await;
        assert_eq!(shop.state(&id).await.0, "cancelled");

        // A cancelled order whose money is still held comes back only when it was voided, and then unpaid.
        let (ada, admin) = (shop.again(&ada), shop.again(&admin));
        let id = shop.place(&ada, &[("MUG", 2)]).await;
        let held = shop.begin_payment(&ada, &id).await;
        shop.app.deliver(fresh_id(), &PaymentAuthorized { payment: facts(&id, held, &ada, (1_700, 0, 0)) }).await.unwrap();
        shop.cancel(&ada, &id).await.expect(200);
        shop.set_status(&admin, &id, "pending").await.expect_problem(409, "payment_in_progress");
        shop.app.deliver(fresh_id(), &PaymentVoided { payment: facts(&id, held, &ada, (1_700, 0, 0)) }).await.unwrap();
        shop.set_status(&admin, &id, "pending").await.expect(200);
        assert_eq!(shop.state(&id).await, ("pending".to_owned(), "unpaid".to_owned()));
        assert_eq!(begin(&shop, &ada, &id, PaymentId(fresh_id())).await, Ok(1_700));
    }

    async fn money_is_noted_whatever_the_order_is_doing(engine: Engine) {
        let shop = Shop::open(engine).await;
        let (ada, admin) = (shop.bench.tokens.customer(), shop.bench.tokens.admin());
        // Cancelled while the money was held: a capture that crossed it is noted, and the order stays cancelled.
        let id = shop.place(&ada, &[("MUG", 2)]).await;
        let payment = shop.begin_payment(&ada, &id).await;
        shop.app.deliver(fresh_id(), &PaymentAuthorized { payment: facts(&id, payment, &ada, (1_700, 0, 0)) }).await.unwrap();
        shop.cancel(&ada, &id).await.expect(200);
        captured(&shop, &ada, &id, payment, 1_700).await;
        assert_eq!(shop.state(&id).await, ("cancelled".to_owned(), "captured".to_owned()));
        // Moved on by hand while it was being paid: it stays where it is.
        let id = shop.place(&ada, &[("MUG", 2)]).await;
        let payment = shop.begin_payment(&ada, &id).await;
        shop.set_status(&admin, &id, "processing").await.expect(200);
        captured(&shop, &ada, &id, payment, 1_700).await;
        assert_eq!(shop.state(&id).await, ("processing".to_owned(), "captured".to_owned()));
        // A payment of an order that nobody knows is not ours to fail on.
        captured(&shop, &ada, &fresh_id().to_string(), payment, 1).await;
        shop.app.assert_healthy().await;
    }
}
