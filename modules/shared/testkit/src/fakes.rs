//! Ports of modules that are not under test: small, in memory, with switches for their refusals.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use contracts::catalog::{CatalogPort, CatalogProduct, ProductRef, QuoteRefusal};
use contracts::inventory::{
    AdjustRefusal, AdjustStock, InventoryPort, OpeningStock, ReleaseRefusal, ReserveRefusal, ReserveStock,
    Shortage, StockLevel,
};
use contracts::orders::{
    BeginPaymentRefusal, Order, OrderItem, OrderStatus, OrdersPort, PayableOrder, PaymentStatus, PlaceOrder,
    PlaceRefusal, PlacedOrder,
};
use contracts::port::{NoRefusal, PortError};
use contracts::users::{Actor, CreateProfileRefusal, NewProfile, Profile, UsersPort};
use kernel::{Currency, Money, OrderId, PaymentId, ProductId, ReservationId, Sku, Timestamp, UserId};
use uuid::Uuid;

/// An amount in pounds, from pence.
pub fn gbp(amount_minor: i64) -> Money {
    Money::new(amount_minor, Currency::GBP)
}

/// A SKU.
pub fn sku(text: &str) -> Sku {
    Sku::parse(text).unwrap()
}

fn out_of_reach<R: std::fmt::Display + std::fmt::Debug>(module: &'static str) -> PortError<R> {
    PortError::unavailable(module, "switched off by the test")
}

/// A catalogue of products that the test puts in.
#[derive(Default)]
pub struct FakeCatalog {
    products: Mutex<HashMap<Sku, CatalogProduct>>,
    /// While true, nothing answers.
    pub down: Mutex<bool>,
}

impl FakeCatalog {
    /// Puts a product in, or changes its price.
    pub fn put(&self, text: &str, price_minor: i64) -> CatalogProduct {
        let mut products = self.products.lock().unwrap();
        let known = products.get(&sku(text)).map(|product| product.product_id);
        let product = CatalogProduct {
            product_id: known.unwrap_or(ProductId(Uuid::now_v7())),
            sku: sku(text),
            name: format!("Product {text}"),
            unit_price: gbp(price_minor),
            active: true,
        };
        products.insert(product.sku.clone(), product.clone());
        product
    }

    /// Retires a product.
    pub fn retire(&self, text: &str) {
        self.products.lock().unwrap().get_mut(&sku(text)).unwrap().active = false;
    }
}

#[async_trait]
impl CatalogPort for FakeCatalog {
    async fn quote(&self, wanted: &[ProductRef]) -> Result<Vec<CatalogProduct>, PortError<QuoteRefusal>> {
        if *self.down.lock().unwrap() {
            return Err(out_of_reach("catalog"));
        }
        let products = self.products.lock().unwrap();
        let find = |wanted: &ProductRef| match wanted {
            ProductRef::Sku(sku) => products.get(sku).cloned(),
            ProductRef::Id(id) => products.values().find(|product| product.product_id == *id).cloned(),
        };
        let unknown: Vec<_> = wanted.iter().filter(|wanted| find(wanted).is_none()).cloned().collect();
        if !unknown.is_empty() {
            return Err(PortError::Refused(QuoteRefusal::Unknown(unknown)));
        }
        let found: Vec<_> = wanted.iter().filter_map(find).collect();
        let retired: Vec<_> =
            wanted.iter().zip(&found).filter(|(_, p)| !p.active).map(|(w, _)| w.clone()).collect();
        if retired.is_empty() { Ok(found) } else { Err(PortError::Refused(QuoteRefusal::Retired(retired))) }
    }

    async fn find(&self, skus: &[Sku]) -> Result<Vec<CatalogProduct>, PortError<NoRefusal>> {
        if *self.down.lock().unwrap() {
            return Err(out_of_reach("catalog"));
        }
        let products = self.products.lock().unwrap();
        Ok(skus.iter().filter_map(|sku| products.get(sku).cloned()).collect())
    }
}

/// A store with shelves that the test fills.
#[derive(Default)]
pub struct FakeInventory {
    on_hand: Mutex<HashMap<Sku, i64>>,
    reservations: Mutex<HashMap<ReservationId, Option<ReserveStock>>>,
    /// Held while stock is looked at and taken, so that buyers on several threads cannot both take the last piece.
    taking: Mutex<()>,
    /// While true, nothing answers.
    pub down: Mutex<bool>,
}

impl FakeInventory {
    /// Sets the pieces of a SKU.
    pub fn put(&self, text: &str, on_hand: i64) {
        self.on_hand.lock().unwrap().insert(sku(text), on_hand);
    }

    /// Pieces that are not held by any reservation.
    pub fn available(&self, sku: &Sku) -> i64 {
        let held: i64 = self
            .reservations
            .lock()
            .unwrap()
            .values()
            .flatten()
            .flat_map(|held| &held.lines)
            .filter(|line| line.sku == *sku)
            .map(|line| line.quantity.get())
            .sum();
        self.on_hand.lock().unwrap().get(sku).copied().unwrap_or(0) - held
    }

    /// The reservations that hold something.
    pub fn held(&self) -> Vec<ReserveStock> {
        self.reservations.lock().unwrap().values().flatten().cloned().collect()
    }

    fn level(&self, sku: &Sku) -> StockLevel {
        let on_hand = self.on_hand.lock().unwrap().get(sku).copied().unwrap_or(0);
        let available = self.available(sku);
        StockLevel {
            sku: sku.clone(),
            on_hand,
            reserved: on_hand - available,
            available,
            low_stock_threshold: 5,
            updated_at: Timestamp::EPOCH,
        }
    }
}

#[async_trait]
impl InventoryPort for FakeInventory {
    async fn reserve(&self, request: ReserveStock) -> Result<(), PortError<ReserveRefusal>> {
        if *self.down.lock().unwrap() {
            return Err(out_of_reach("inventory"));
        }
        let _taking = self.taking.lock().unwrap();
        match self.reservations.lock().unwrap().get(&request.reservation_id) {
            Some(Some(_)) => return Ok(()),
            Some(None) => return Err(PortError::Refused(ReserveRefusal::Released)),
            None => {}
        }
        let short: Vec<Shortage> = request
            .lines
            .iter()
            .map(|line| Shortage {
                sku: line.sku.clone(),
                requested: line.quantity.get(),
                available: self.available(&line.sku),
            })
            .filter(|line| line.requested > line.available)
            .collect();
        if !short.is_empty() {
            return Err(PortError::Refused(ReserveRefusal::Insufficient(short)));
        }
        self.reservations.lock().unwrap().insert(request.reservation_id, Some(request));
        Ok(())
    }

    async fn release(&self, id: ReservationId, _: OrderId) -> Result<(), PortError<ReleaseRefusal>> {
        if *self.down.lock().unwrap() {
            return Err(out_of_reach("inventory"));
        }
        self.reservations.lock().unwrap().insert(id, None);
        Ok(())
    }

    async fn levels(&self, skus: &[Sku]) -> Result<Vec<StockLevel>, PortError<NoRefusal>> {
        if *self.down.lock().unwrap() {
            return Err(out_of_reach("inventory"));
        }
        let known = |sku: &&Sku| self.on_hand.lock().unwrap().contains_key(*sku);
        Ok(skus.iter().filter(known).map(|sku| self.level(sku)).collect())
    }

    async fn adjust(&self, request: AdjustStock) -> Result<StockLevel, PortError<AdjustRefusal>> {
        if *self.down.lock().unwrap() {
            return Err(out_of_reach("inventory"));
        }
        let available = self.available(&request.sku);
        if available + request.change < 0 {
            return Err(PortError::Refused(AdjustRefusal::Insufficient { sku: request.sku, available }));
        }
        *self.on_hand.lock().unwrap().entry(request.sku.clone()).or_default() += request.change;
        Ok(self.level(&request.sku))
    }

    async fn open(&self, lines: Vec<OpeningStock>) -> Result<u64, PortError<NoRefusal>> {
        if *self.down.lock().unwrap() {
            return Err(out_of_reach("inventory"));
        }
        let mut on_hand = self.on_hand.lock().unwrap();
        let before = on_hand.len();
        for line in lines {
            on_hand.entry(line.sku).or_insert(line.on_hand);
        }
        Ok(u64::try_from(on_hand.len() - before).unwrap())
    }
}

/// Orders that the test puts in, or that are placed at one pound a piece.
#[derive(Default)]
pub struct FakeOrders {
    payable: Mutex<HashMap<OrderId, (PayableOrder, Option<PaymentId>)>>,
    /// What was placed.
    pub placed: Mutex<Vec<PlaceOrder>>,
    /// Refuses every placement with this, if set.
    pub refuse: Mutex<Option<PlaceRefusal>>,
    /// While true, nothing answers.
    pub down: Mutex<bool>,
}

impl FakeOrders {
    /// An order that waits to be paid.
    pub fn put(&self, user_id: UserId, amount_minor: i64) -> OrderId {
        let order_id = OrderId(Uuid::now_v7());
        let due = PayableOrder { order_id, number: "TEST-1".to_owned(), user_id, amount: gbp(amount_minor) };
        self.payable.lock().unwrap().insert(order_id, (due, None));
        order_id
    }

    /// The payment that holds an order.
    pub fn payment_of(&self, order_id: OrderId) -> Option<PaymentId> {
        self.payable.lock().unwrap().get(&order_id).and_then(|(_, payment)| *payment)
    }
}

#[async_trait]
impl OrdersPort for FakeOrders {
    async fn place(&self, request: PlaceOrder) -> Result<PlacedOrder, PortError<PlaceRefusal>> {
        if *self.down.lock().unwrap() {
            return Err(out_of_reach("orders"));
        }
        if let Some(refusal) = self.refuse.lock().unwrap().clone() {
            return Err(PortError::Refused(refusal));
        }
        let replayed = self.placed.lock().unwrap().iter().any(|placed| placed.key == request.key);
        let items: Vec<OrderItem> = request
            .lines
            .iter()
            .map(|line| OrderItem {
                sku: match &line.product {
                    ProductRef::Sku(sku) => sku.clone(),
                    ProductRef::Id(id) => sku(&id.uuid().simple().to_string()),
                },
                product_id: None,
                name: "Product".to_owned(),
                quantity: line.quantity.get(),
                unit_price: gbp(100),
                line_total: gbp(100 * line.quantity.get()),
            })
            .collect();
        let order = Order {
            id: OrderId(Uuid::now_v7()),
            number: "TEST-1".to_owned(),
            user_id: Some(request.customer),
            status: OrderStatus::Pending,
            total: gbp(items.iter().map(|item| item.line_total.amount_minor).sum()),
            items,
            shipping_address: request.shipping_address.clone(),
            payment_status: PaymentStatus::Unpaid,
            imported: false,
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
        };
        self.placed.lock().unwrap().push(request);
        Ok(PlacedOrder { order, replayed })
    }

    async fn begin_payment(
        &self,
        order_id: OrderId,
        payment_id: PaymentId,
        actor: Actor,
    ) -> Result<PayableOrder, PortError<BeginPaymentRefusal>> {
        if *self.down.lock().unwrap() {
            return Err(out_of_reach("orders"));
        }
        let mut payable = self.payable.lock().unwrap();
        let Some((due, holder)) = payable.get_mut(&order_id).filter(|(due, _)| actor.may_see(due.user_id))
        else {
            return Err(PortError::Refused(BeginPaymentRefusal::NotFound));
        };
        if holder.is_some_and(|holder| holder != payment_id) {
            return Err(PortError::Refused(BeginPaymentRefusal::InProgress));
        }
        *holder = Some(payment_id);
        Ok(due.clone())
    }

    async fn give_up_payment(
        &self,
        order_id: OrderId,
        payment_id: PaymentId,
    ) -> Result<(), PortError<NoRefusal>> {
        if *self.down.lock().unwrap() {
            return Err(out_of_reach("orders"));
        }
        if let Some((_, holder)) = self.payable.lock().unwrap().get_mut(&order_id)
            && *holder == Some(payment_id)
        {
            *holder = None;
        }
        Ok(())
    }
}

/// Users that the test or a registration puts in.
#[derive(Default)]
pub struct FakeUsers {
    profiles: Mutex<HashMap<UserId, Profile>>,
    /// While true, nothing answers.
    pub down: Mutex<bool>,
}

impl FakeUsers {
    /// Puts a profile in, or replaces it.
    pub fn put(&self, profile: Profile) {
        self.profiles.lock().unwrap().insert(profile.id, profile);
    }
}

#[async_trait]
impl UsersPort for FakeUsers {
    async fn create_profile(&self, new: NewProfile) -> Result<Profile, PortError<CreateProfileRefusal>> {
        if *self.down.lock().unwrap() {
            return Err(out_of_reach("users"));
        }
        let mut profiles = self.profiles.lock().unwrap();
        if let Some(known) = profiles.get(&new.id) {
            return Ok(known.clone());
        }
        if profiles.values().any(|profile| profile.email == new.email) {
            return Err(PortError::Refused(CreateProfileRefusal::EmailTaken));
        }
        if new.username.is_some() && profiles.values().any(|profile| profile.username == new.username) {
            return Err(PortError::Refused(CreateProfileRefusal::UsernameTaken));
        }
        let profile = Profile {
            id: new.id,
            email: new.email,
            username: new.username,
            name: new.name,
            role: new.role,
            active: true,
            created_at: Timestamp::EPOCH,
        };
        profiles.insert(profile.id, profile.clone());
        Ok(profile)
    }

    async fn find_by_login(&self, login: &str) -> Result<Option<Profile>, PortError<NoRefusal>> {
        if *self.down.lock().unwrap() {
            return Err(out_of_reach("users"));
        }
        let login = login.to_lowercase();
        let profiles = self.profiles.lock().unwrap();
        Ok(profiles
            .values()
            .find(|p| p.email.as_str() == login || p.username.as_deref() == Some(&login))
            .cloned())
    }

    async fn profile(&self, id: UserId) -> Result<Option<Profile>, PortError<NoRefusal>> {
        if *self.down.lock().unwrap() {
            return Err(out_of_reach("users"));
        }
        Ok(self.profiles.lock().unwrap().get(&id).cloned())
    }
}
