//! Every operation of the documents by everyone who might try it. Each row says what becomes of whom; an operation without a
//! row, or a row without an operation, is a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use deployments::{Options, Person, Shop, Topology, block_on, path_of, report};
use serde_json::{Value, json};
use souk::wiring::MODULE_NAMES;
use testkit::Response;

/// What becomes of whoever tries, in the order of [`WHO`]:
///
/// - `A`: admitted. The answer is about what was sent, not about who sent it;
/// - `U`: 401, nobody we know;
/// - `F`: 403, somebody who may not;
/// - `N`: 404, as if it were not there. So is what there really is not.
type Verdicts = &'static str;

/// Who tries. The owner is a customer to whom the order, payment, address or key in the path belongs; `key` is an API key of whoever may
/// use the operation, an admin or the owner, with its scopes; `other key` is one without.
const WHO: [&str; 8] =
    ["anonymous", "other customer", "owner", "admin", "key", "other key", "owner's key", "service"];

const EVERYONE: Verdicts = "AAAAAAAA";
/// A guest may, and whoever says who they are must be right.
const GUESTS: Verdicts = "AAAAAFAU";
const KNOWN: Verdicts = "UAAAAFAU";
/// The key of a customer is no better than its owner.
const ADMINS: Verdicts = "UFFAAFFU";
/// A machine may not.
const PEOPLE: Verdicts = "UAAAFFFU";
/// The owner and admins.
const OWNED: Verdicts = "UNAAAFAU";
/// Below `me`: not even admins.
const MINE: Verdicts = "UNANAFAU";

const ROWS: &[(&str, &str, Verdicts)] = &[
    ("GET", "/auth/.well-known/jwks.json", EVERYONE),
    ("GET", "/auth/account", PEOPLE),
    ("GET", "/auth/audit", ADMINS),
    ("GET", "/auth/api-keys", PEOPLE),
    ("POST", "/auth/api-keys", PEOPLE),
    ("DELETE", "/auth/api-keys/{id}", "UNAAFFFU"),
    ("POST", "/auth/email/verification", PEOPLE),
    ("POST", "/auth/email/verify", EVERYONE),
    ("POST", "/auth/login", EVERYONE),
    ("POST", "/auth/logout", PEOPLE),
    ("POST", "/auth/password/change", PEOPLE),
    ("POST", "/auth/password/forgot", EVERYONE),
    ("POST", "/auth/password/reset", EVERYONE),
    ("POST", "/auth/refresh", EVERYONE),
    ("POST", "/auth/register", EVERYONE),
    ("GET", "/auth/sessions", PEOPLE),
    // Their own only, admins too.
    ("DELETE", "/auth/sessions/{id}", "UNANFFFU"),
    ("POST", "/auth/totp", PEOPLE),
    ("DELETE", "/auth/totp", PEOPLE),
    ("POST", "/auth/totp/confirm", PEOPLE),
    ("POST", "/auth/verify", KNOWN),
    ("GET", "/cart", GUESTS),
    ("DELETE", "/cart", GUESTS),
    ("POST", "/cart/checkout", KNOWN),
    ("PUT", "/cart/items/{sku}", GUESTS),
    ("DELETE", "/cart/items/{sku}", GUESTS),
    ("POST", "/cart/merge", KNOWN),
    ("GET", "/catalog/categories", EVERYONE),
    ("GET", "/catalog/export", ADMINS),
    ("POST", "/catalog/import", ADMINS),
    // Only a filter for retired goods asks who it is; a story of the catalogue has it.
    ("GET", "/catalog/products", EVERYONE),
    ("POST", "/catalog/products", ADMINS),
    ("GET", "/catalog/products/{id}", EVERYONE),
    ("PUT", "/catalog/products/{id}", ADMINS),
    ("PATCH", "/catalog/products/{id}", ADMINS),
    ("DELETE", "/catalog/products/{id}", ADMINS),
    ("PATCH", "/catalog/products/{id}/stock", ADMINS),
    ("GET", "/inventory", KNOWN),
    ("GET", "/inventory/export", ADMINS),
    ("POST", "/inventory/import", ADMINS),
    ("GET", "/inventory/{sku}", KNOWN),
    ("PUT", "/inventory/{sku}", ADMINS),
    ("PATCH", "/inventory/{sku}", ADMINS),
    ("GET", "/inventory/{sku}/movements", ADMINS),
    ("GET", "/notifications", KNOWN),
    ("GET", "/notifications/webhooks", ADMINS),
    ("POST", "/notifications/webhooks", ADMINS),
    ("DELETE", "/notifications/webhooks/{id}", ADMINS),
    ("GET", "/notifications/webhooks/{id}/deliveries", ADMINS),
    // There is no such delivery.
    ("POST", "/notifications/webhooks/{id}/deliveries/{delivery_id}/replay", "UFFNNFFU"),
    ("GET", "/orders", KNOWN),
    ("POST", "/orders", KNOWN),
    ("GET", "/orders/analytics", ADMINS),
    ("GET", "/orders/export", ADMINS),
    ("POST", "/orders/import", ADMINS),
    ("GET", "/orders/user/{user_id}", OWNED),
    ("GET", "/orders/{id}", OWNED),
    ("POST", "/orders/{id}/cancel", OWNED),
    ("PATCH", "/orders/{id}/status", OWNED),
    ("GET", "/orders/{id}/timeline", OWNED),
    ("GET", "/payments", KNOWN),
    // An admin may pay what they may see.
    ("POST", "/payments", OWNED),
    // Signed by the provider, whoever brings it.
    ("POST", "/payments/webhooks/{provider}", EVERYONE),
    ("GET", "/payments/{id}", OWNED),
    ("POST", "/payments/{id}/capture", ADMINS),
    ("POST", "/payments/{id}/refund", ADMINS),
    ("POST", "/payments/{id}/void", ADMINS),
    ("GET", "/users", KNOWN),
    ("GET", "/users/export", ADMINS),
    ("POST", "/users/import", ADMINS),
    ("POST", "/users/login", EVERYONE),
    ("GET", "/users/me", KNOWN),
    ("PATCH", "/users/me", KNOWN),
    ("GET", "/users/me/addresses", KNOWN),
    ("POST", "/users/me/addresses", KNOWN),
    ("PUT", "/users/me/addresses/{id}", MINE),
    ("DELETE", "/users/me/addresses/{id}", MINE),
    ("POST", "/users/register", EVERYONE),
    ("GET", "/users/{id}", OWNED),
    ("PATCH", "/users/{id}", ADMINS),
];

const SKU: &str = "MATRIX-MUG";
const NOWHERE: &str = "01900000-0000-7000-8000-000000000000";

pub fn story(topology: Topology) -> Result<(), String> {
    let internal_secret = crate::forged::INTERNAL_SECRET;
    let running = topology.start_with(Options::default().set("SOUK__INTERNAL__SECRET", internal_secret))?;
    let shop = Shop::at(&running.address, "matrix");
    let wrong = block_on(async {
        let scene = Scene::set(&shop).await;
        let needed = scene.operations().await;
        let rows: BTreeSet<String> =
            ROWS.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
        let there: BTreeSet<String> = needed.keys().cloned().collect();
        assert_eq!(rows.len(), ROWS.len(), "a row is there twice");
        let unlisted: Vec<_> = there.symmetric_difference(&rows).collect();
        assert!(unlisted.is_empty(), "operations without a row, or rows without an operation: {unlisted:#?}");
        let mut wrong = Vec::new();
        for (method, path, verdicts) in ROWS {
            for (who, verdict) in WHO.iter().zip(verdicts.chars()) {
                let answer =
                    scene.attempt(method, path, who, verdict, &needed[&format!("{method} {path}")]).await;
                if let Some(answer) = answer
                    && !fits(verdict, &answer)
                {
                    let short: String = answer.text.chars().take(200).collect();
                    wrong.push(format!("{method} {path} by {who}: not {verdict}: {} {short}", answer.status));
                }
            }
        }
        wrong.extend(scene.spellings().await);
        let tried = scene.tried.load(Ordering::Relaxed);
        let (operations, who, name) = (ROWS.len(), WHO.len(), topology.name());
        report(&format!(
            "{operations} operations x {who} principals x {name}: {tried} tried, 0 unlisted, {} wrong",
            wrong.len()
        ));
        wrong
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
    running.stop()
}

fn fits(verdict: char, answer: &Response) -> bool {
    let refused = (answer.status, answer.code());
    match verdict {
        'U' => refused == (401, "unauthenticated"),
        'F' => refused == (403, "forbidden"),
        'N' => refused == (404, "not_found"),
        _ => {
            answer.status < 500
                && answer.status != 404
                && !["unauthenticated", "forbidden"].contains(&answer.code())
        }
    }
}

/// Everyone who tries, and what they try it on.
struct Scene<'a> {
    shop: &'a Shop,
    owner: Person,
    other: Person,
    admin: Person,
    order: Value,
    payment: Value,
    product: Value,
    /// API keys by their owner and scopes.
    keys: std::sync::Mutex<BTreeMap<String, String>>,
    tried: AtomicUsize,
}

impl<'a> Scene<'a> {
    async fn set(shop: &'a Shop) -> Self {
        let (admin, owner, other) =
            (shop.admin().await, shop.newcomer("owner").await, shop.newcomer("other").await);
        let product = shop.offer(&admin, SKU, 850, 500).await;
        let paid = shop.order(&owner, "paid", SKU, 1).send().await.expect(201).json;
        let payment = shop.pay(&owner, "pay", &paid, "tok_ok").send().await.expect(201).json;
        let order = shop.order(&owner, "order", SKU, 1).send().await.expect(201).json;
        let (keys, tried) = (std::sync::Mutex::default(), AtomicUsize::new(0));
        Self { shop, owner, other, admin, order, payment, product, keys, tried }
    }

    /// However a path is written, it is the operation that the router finds, with its policy. What of it is wrong.
    async fn spellings(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let key = self.api_key(&self.owner, vec!["orders:read".to_owned()]).await;
        for path in [
            "/orders/%61nalytics",
            "/orders/analytics/",
            "//orders/analytics",
            "/orders/%65xport",
            "/orders/./export",
        ] {
            for token in [&self.owner.token, &key] {
                let answer = self.shop.get(path).bearer(token).unrecorded().send().await;
                if !fits('F', &answer) && !fits('N', &answer) {
                    wrong.push(format!("{path}: {} {}", answer.status, answer.text));
                }
            }
        }
        wrong
    }

    /// Every operation, with the scopes that an API key needs for it.
    async fn operations(&self) -> BTreeMap<String, Vec<String>> {
        let mut found = BTreeMap::new();
        for module in MODULE_NAMES {
            let path = format!("/{module}/openapi.json");
            let document = self.shop.get(&path).unrecorded().send().await.expect(200).json;
            for (path, item) in document["paths"].as_object().unwrap() {
                for (method, operation) in item.as_object().unwrap() {
                    let requirements = operation["security"].as_array().unwrap();
                    let scopes = requirements.iter().flat_map(|one| one["api_key"].as_array()).flatten();
                    let scopes = scopes.filter_map(Value::as_str).filter(|scope| scope.contains(':'));
                    let name = format!("{} {path}", method.to_uppercase());
                    found.insert(name, scopes.map(str::to_owned).collect());
                }
            }
        }
        found
    }

    /// Tries it; `None` where there can be no such principal.
    async fn attempt(
        &self,
        method: &str,
        path: &str,
        who: &str,
        verdict: char,
        scopes: &[String],
    ) -> Option<Response> {
        let admins = path_is_for_admins(method, path);
        let boss = if admins { &self.admin } else { &self.owner };
        let customers = !scopes.iter().any(|scope| CHANGED_BY_ADMINS.contains(&scope.as_str()));
        let machine = |person, wanted: Vec<String>| self.api_key(person, wanted);
        let read = vec!["cart:read".to_owned()];
        let token = match who {
            "anonymous" => None,
            "other customer" => Some(self.session_for(path, &self.other).await),
            "owner" => Some(self.session_for(path, &self.owner).await),
            "admin" => Some(self.session_for(path, &self.admin).await),
            "service" => Some(crate::forged::service_token()),
            // A key for what no key opens is one for something else.
            "key" if scopes.is_empty() => Some(machine(boss, read).await),
            "key" => Some(machine(boss, scopes.to_vec()).await),
            "owner's key" if scopes.is_empty() => Some(machine(&self.owner, read).await),
            "owner's key" if customers => Some(machine(&self.owner, scopes.to_vec()).await),
            "owner's key" => return None,
            _ => Some(machine(boss, vec![another_scope(scopes)]).await),
        };
        let path = self.path(method, path, verdict).await;
        self.tried.fetch_add(1, Ordering::Relaxed);
        let key = testkit::fresh_id().to_string();
        let call = self.shop.call(method, &path).unrecorded();
        let call = match method {
            "GET" | "DELETE" => call,
            _ => call.key(&key).json(self.body(&path)),
        };
        Some(match &token {
            Some(token) => call.bearer(token).send().await,
            None => call.send().await,
        })
    }

    /// A session of a person; a fresh one where it is going to end.
    async fn session_for(&self, path: &str, person: &Person) -> String {
        if path != "/auth/logout" {
            return person.token.clone();
        }
        let password = if person.id == self.admin.id { "password123" } else { deployments::PASSWORD };
        self.shop.log_in(&person.email, password).await.token
    }

    async fn api_key(&self, owner: &Person, scopes: Vec<String>) -> String {
        let name = format!("{} {}", owner.id, scopes.join(" "));
        if let Some(key) = self.keys.lock().unwrap().get(&name) {
            return key.clone();
        }
        let body = json!({"name": scopes.join(" "), "scopes": scopes});
        let made = self.shop.post("/auth/api-keys").bearer(&owner.token).json(body).unrecorded().send().await;
        let key = made.expect(201).json["key"].as_str().unwrap().to_owned();
        self.keys.lock().unwrap().insert(name, key.clone());
        key
    }

    /// The path with what it is about. What is going to be gone is made for the occasion.
    async fn path(&self, method: &str, path: &str, verdict: char) -> String {
        let matters = matches!(verdict, 'A' | 'N');
        let id = match path.split('/').nth(1).unwrap_or_default() {
            "auth" if path.contains("sessions") && matters => self.another_session_of_the_owner().await,
            "auth" if matters => {
                self.made("/auth/api-keys", &self.owner, json!({"name": "x", "scopes": ["cart:read"]})).await
            }
            "users" if path.contains("addresses") && matters => {
                self.made("/users/me/addresses", &self.owner, address()).await
            }
            "users" => self.owner.id.clone(),
            "catalog" if method == "DELETE" && matters => {
                let sku = testkit::fresh_id().simple().to_string();
                let body =
                    json!({"sku": sku, "name": "A mug", "price": deployments::pence(1), "category": "mugs"});
                self.made("/catalog/products", &self.admin, body).await
            }
            "catalog" => self.product["id"].as_str().unwrap().to_owned(),
            "notifications" if path.contains("{id}") && matches!(verdict, 'A' | 'N') => {
                let body = json!({"url": "https://example.com/souk", "events": ["order.created"]});
                self.made("/notifications/webhooks", &self.admin, body).await
            }
            "orders" => self.order["id"].as_str().unwrap().to_owned(),
            "payments" => self.payment["id"].as_str().unwrap().to_owned(),
            _ => NOWHERE.to_owned(),
        };
        path.replace("{id}", &id)
            .replace("{user_id}", &self.owner.id)
            .replace("{sku}", SKU)
            .replace("{provider}", "sandbox")
            .replace("{delivery_id}", NOWHERE)
    }

    async fn another_session_of_the_owner(&self) -> String {
        let token = self.shop.log_in(&self.owner.email, deployments::PASSWORD).await.token;
        let sessions =
            self.shop.get("/auth/sessions").bearer(&token).unrecorded().send().await.expect(200).json;
        let its_own = sessions["items"].as_array().unwrap().iter().find(|one| one["current"] == true);
        its_own.unwrap()["id"].as_str().unwrap().to_owned()
    }

    async fn made(&self, list: &str, by: &Person, body: Value) -> String {
        let call = self.shop.post(list).bearer(&by.token).key(&testkit::fresh_id().to_string()).json(body);
        let made = call.unrecorded().send().await.expect(201).json;
        if list == "/auth/api-keys" {
            // A person has only so many; the one before is not needed any more.
            let before = self.keys.lock().unwrap().insert(format!("made {}", by.id), path_of(list, &made));
            if let Some(before) = before {
                self.shop.delete(&before).bearer(&by.token).unrecorded().send().await;
            }
        }
        made["id"].as_str().unwrap().to_owned()
    }

    /// As little as it takes to be told who may; what there is to lose is not in it.
    fn body(&self, path: &str) -> Value {
        match path {
            "/payments" => {
                json!({"order_id": self.order["id"], "method": {"type": "card", "token": "tok_declined"}})
            }
            path if path.starts_with("/users/me/addresses/") => address(),
            path if path.ends_with("/status") => json!({"status": "cancelled"}),
            _ => json!({}),
        }
    }
}

/// What customers' keys cannot have.
const CHANGED_BY_ADMINS: [&str; 4] =
    ["auth:write", "catalog:write", "inventory:write", "notifications:write"];

fn path_is_for_admins(method: &str, path: &str) -> bool {
    let row = ROWS.iter().find(|(of, at, _)| (*of, *at) == (method, path)).unwrap();
    row.2.starts_with("UFF")
}

/// A scope that does not open what needs these.
fn another_scope(needed: &[String]) -> String {
    match needed {
        // One of two is not enough.
        [first, _, ..] => first.clone(),
        [one] if one == "cart:read" => "cart:write".to_owned(),
        _ => "cart:read".to_owned(),
    }
}

fn address() -> Value {
    json!({"name": "Ada", "line1": "12 St James's Square", "city": "London", "country": "GB"})
}
