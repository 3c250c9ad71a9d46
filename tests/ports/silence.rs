//! Peers that are down or stuck: every operation of every port is silent in time, and says who was.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::audit::By;
use contracts::auth::AuthPort;
use contracts::catalog::CatalogPort;
use contracts::inventory::{AdjustStock, InventoryPort, ReserveStock};
use contracts::orders::{OrdersPort, PlaceOrder, PlacementKey};
use contracts::users::{Actor, NewProfile, Role, UsersPort};
use kernel::{EmailAddress, OrderId, PaymentId, ReservationId, UserId};
use platform::system::SystemClock;
use remote::{Caller, Options, Peer};
use testkit::fakes::sku;
use testkit::fresh_id;

use crate::stage::{SECRET, assert_silent};

const DEADLINE: Duration = Duration::from_millis(300);
/// What a loaded machine may need beyond it.
const GRACE: Duration = Duration::from_secs(2);

/// Calls every operation of every port at an address. The port of each is its own, so that no breaker has heard of the
/// address before.
async fn every_operation_is_silent(address: &str) {
    let options = Options { secret: SECRET.to_owned(), deadline: DEADLINE, ..Options::default() };
    let caller = Caller::new(options, Arc::new(SystemClock)).unwrap();
    let peer = |module: &'static str| -> Peer { caller.peer(module, address).unwrap() };
    let auth = || -> Arc<dyn AuthPort> { remote::auth::client(peer("auth")) };
    let catalog = || -> Arc<dyn CatalogPort> { remote::catalog::client(peer("catalog")) };
    let inventory = || -> Arc<dyn InventoryPort> { remote::inventory::client(peer("inventory")) };
    let orders = || -> Arc<dyn OrdersPort> { remote::orders::client(peer("orders")) };
    let users = || -> Arc<dyn UsersPort> { remote::users::client(peer("users")) };
    let (order_id, payment_id) = (OrderId(fresh_id()), PaymentId(fresh_id()));
    let (reservation_id, user_id) = (ReservationId(fresh_id()), UserId(fresh_id()));
    let actor = Actor { user_id, role: Role::Customer };

    macro_rules! silent {
        ($($module:literal: $call:expr),+ $(,)?) => {$(
            let begun = Instant::now();
            assert_silent($module, $call.await);
            assert!(begun.elapsed() < DEADLINE + GRACE, "{}: {:?}", stringify!($call), begun.elapsed());
        )+};
    }
    silent! {
        "auth": auth().public_keys(),
        "auth": auth().revoked(),
        "catalog": catalog().quote(&[]),
        "catalog": catalog().find(&[sku("MUG")]),
        "inventory": inventory().reserve(ReserveStock { reservation_id, order_id, lines: Vec::new() }),
        "inventory": inventory().release(reservation_id, order_id),
        "inventory": inventory().levels(&[sku("MUG")]),
        "inventory": inventory().adjust(AdjustStock {
            movement_id: fresh_id(),
            sku: sku("MUG"),
            change: 1,
            reason: "came".to_owned(),
            by: By::Shop,
        }),
        "inventory": inventory().open(Vec::new()),
        "orders": orders().place(PlaceOrder {
            customer: user_id,
            key: PlacementKey { route: String::new(), key: String::new(), request_hash: String::new() },
            lines: Vec::new(),
            expected_total: None,
            shipping_address: None,
            cart_id: None,
        }),
        "orders": orders().begin_payment(order_id, payment_id, actor),
        "orders": orders().give_up_payment(order_id, payment_id),
        "users": users().create_profile(NewProfile {
            id: user_id,
            email: EmailAddress::parse("ada@example.com").unwrap(),
            username: None,
            name: None,
            role: Role::Customer,
            by: By::Operator,
        }),
        "users": users().find_by_login("ada"),
        "users": users().profile(user_id),
    }
}

#[test]
fn a_module_that_is_down_is_silent_in_every_operation() {
    testkit::run(async {
        let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = format!("http://{}", socket.local_addr().unwrap());
        drop(socket);
        every_operation_is_silent(&address).await;
    });
}

#[test]
fn a_module_that_is_stuck_is_silent_in_every_operation() {
    testkit::run(async {
        // Connections are taken by the kernel, and nobody reads them.
        let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        every_operation_is_silent(&format!("http://{}", socket.local_addr().unwrap())).await;
    });
}
