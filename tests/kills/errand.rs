//! One errand of one customer, and the ledger of what the shop has acknowledged of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use deployments::{Person, pence};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client, Request};
use crate::dice::Dice;
use crate::plan::{GOODS, Held, Paying, Plan, Step};

/// How long a customer waits for what follows an answer by an event: a confirmed order, an empty cart.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// An interrupted payment is begun anew so often.
const INTERRUPTIONS: usize = 20;

/// A customer, and what the errands share.
pub struct Customer<'a> {
    pub client: &'a Client,
    pub me: &'a Person,
    pub admin: &'a Person,
    /// The burst is over: what has been asked is asked to its end, and nothing new.
    pub over: &'a AtomicBool,
}

/// What was acknowledged.
#[derive(Debug, Default)]
pub struct Errand {
    /// Names it in keys and failures.
    pub name: String,
    pub customer: usize,
    pub plan: Option<Plan>,
    /// The order as it was first acknowledged.
    pub order: Option<Value>,
    pub refused: bool,
    pub payments: Vec<Payment>,
    pub cancelled: bool,
    /// It was cancelled before it had heard that its money was taken, so that it was never confirmed.
    pub unconfirmed: bool,
    pub shipped: Shipped,
    /// Keyed requests with their first answers.
    pub answered: Vec<(Request, Answer)>,
    /// What was sent again after it was answered.
    pub repeated: usize,
    /// What went wrong.
    pub failure: Option<String>,
}

/// An acknowledged payment, as the acknowledged requests have left it. Amounts in pence.
#[derive(Debug, Clone, Default)]
pub struct Payment {
    pub id: String,
    pub declined: bool,
    /// Taken in a second step, or not at all.
    pub held_first: bool,
    pub voided: bool,
    pub captured: i64,
    pub refunds: Vec<i64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shipped {
    #[default]
    Not,
    Packed,
    Sent,
}

/// Why an errand ends early.
enum Ended {
    /// The burst is over, or the shop has refused as it may.
    Here,
    Failed(String),
}

impl Errand {
    pub fn order_id(&self) -> &str {
        self.order.as_ref().and_then(|order| order["id"].as_str()).unwrap_or_default()
    }

    /// The payment that took or holds money.
    pub fn live(&self) -> Option<&Payment> {
        self.payments.iter().find(|payment| !payment.declined)
    }
}

impl Payment {
    /// What was given back on request; a cancelled order gives back the rest.
    pub fn refunded(&self) -> i64 {
        self.refunds.iter().sum()
    }
}

/// Carries out the errand that the seed has for this customer and number.
pub async fn run(customer: &Customer<'_>, seed: u64, who: usize, number: u64) -> Errand {
    let place = [u64::try_from(who).unwrap_or_default(), number];
    let plan = Plan::roll(Dice::of(seed, &place));
    let mut work = Work {
        customer,
        dice: Dice::of(!seed, &place),
        errand: Errand {
            name: format!("{who}-{number}"),
            customer: who,
            plan: Some(plan.clone()),
            ..Errand::default()
        },
    };
    if let Err(Ended::Failed(failure)) = work.carry_out(&plan).await {
        work.errand.failure = Some(failure);
    }
    work.errand
}

struct Work<'a> {
    customer: &'a Customer<'a>,
    dice: Dice,
    errand: Errand,
}

impl Work<'_> {
    async fn carry_out(&mut self, plan: &Plan) -> Result<(), Ended> {
        let order = if plan.by_cart { self.check_out(plan).await? } else { self.place(plan).await? };
        self.pay(plan, &order).await?;
        for step in &plan.after {
            match *step {
                Step::Refund(percent) => self.refund(percent).await?,
                Step::RefundTooMuch => self.refund_too_much().await?,
                Step::PayAgain => self.pay_again(&order).await?,
                Step::Cancel => self.cancel(&order).await?,
                Step::Ship => self.ship(&order).await?,
            }
        }
        Ok(())
    }

    async fn place(&mut self, plan: &Plan) -> Result<Value, Ended> {
        let items: Vec<Value> = plan
            .lines
            .iter()
            .map(|(goods, quantity)| json!({"sku": GOODS[*goods].sku, "quantity": quantity}))
            .collect();
        let key = self.key("order");
        let request = Request::post(&self.customer.me.token, "/orders", key).json(json!({"items": items}));
        let answer = self.keyed(request).await?;
        self.placed(plan, answer)
    }

    async fn check_out(&mut self, plan: &Plan) -> Result<Value, Ended> {
        let token = self.customer.me.token.clone();
        let clear = Request::of(Method::DELETE, &token, "/cart");
        let cleared = self.ask(&clear).await?;
        expect(&clear, &cleared, &[200, 204])?;
        for (goods, quantity) in &plan.lines {
            let path = format!("/cart/items/{}", GOODS[*goods].sku);
            let put = Request::of(Method::PUT, &token, path).json(json!({"quantity": quantity}));
            let answer = self.ask(&put).await?;
            expect(&put, &answer, &[200])?;
        }
        let look = Request::get(&token, "/cart");
        let cart = self.ask(&look).await?;
        expect(&look, &cart, &[200])?;
        if cart.body["total"] != pence(plan.total()) {
            return failed(format!("the cart does not hold what was put into it: {plan:?}: {cart}"));
        }
        let address = json!({"name": "Ada Lovelace", "line1": "12 St James's Square", "city": "London", "country": "GB"});
        let key = self.key("checkout");
        let request = Request::post(&token, "/cart/checkout", key).json(json!({"shipping_address": address}));
        let answer = self.keyed(request).await?;
        let order = self.placed(plan, answer)?;
        // The cart is closed with the order, by an event at the latest; the next errand begins with another one.
        let before = cart.body["id"].clone();
        self.until(&look, |cart| cart["id"] != before).await?;
        Ok(order)
    }

    fn placed(&mut self, plan: &Plan, answer: Answer) -> Result<Value, Ended> {
        match answer.status {
            201 => {
                self.errand.order = Some(answer.body.clone());
                Ok(answer.body)
            }
            409 if answer.code() == "insufficient_stock" && plan.may_be_refused() => {
                self.errand.refused = true;
                Err(Ended::Here)
            }
            _ => failed(format!("an order of {:?} was answered {answer}", plan.lines)),
        }
    }

    async fn pay(&mut self, plan: &Plan, order: &Value) -> Result<(), Ended> {
        match &plan.paying {
            Paying::Not => Ok(()),
            Paying::Charge(tokens) => {
                for (nth, token) in tokens.iter().enumerate() {
                    let declined = nth + 1 < tokens.len();
                    self.pay_with(order, token, true, declined, &format!("pay{nth}")).await?;
                }
                Ok(())
            }
            Paying::Hold(held) => {
                self.pay_with(order, "tok_ok", false, false, "hold").await?;
                self.end_hold(*held, plan.total()).await
            }
        }
    }

    /// Pays until the provider has said yes or no. An interrupted payment has charged nothing and is begun anew.
    async fn pay_with(
        &mut self,
        order: &Value,
        token: &str,
        capture: bool,
        declined: bool,
        what: &str,
    ) -> Result<(), Ended> {
        let method = json!({"type": "card", "token": token});
        let body = json!({"order_id": order["id"], "method": method, "capture": capture});
        for interruption in 0..INTERRUPTIONS {
            let key = self.key(&format!("{what}-{interruption}"));
            let request = Request::post(&self.customer.me.token, "/payments", key).json(body.clone());
            let answer = self.keyed(request.clone()).await?;
            let text = |field: &str| answer.body[field].as_str().unwrap_or_default().to_owned();
            match (answer.status, answer.code()) {
                (201, _) if !declined && answer.body["amount"] == order["total"] => {
                    let amount = order["total"]["amount"].as_i64().unwrap_or_default();
                    let captured = if capture { amount } else { 0 };
                    let payment =
                        Payment { id: text("id"), captured, held_first: !capture, ..Payment::default() };
                    self.errand.payments.push(payment);
                    return Ok(());
                }
                (402, "card_declined") if declined => {
                    self.errand.payments.push(refusal(text("payment_id")));
                    return Ok(());
                }
                (402, "payment_given_up") => self.errand.payments.push(refusal(text("payment_id"))),
                _ => return failed(format!("{request} with {token} was answered {answer}")),
            }
        }
        failed(format!("a payment was interrupted {INTERRUPTIONS} times"))
    }

    async fn end_hold(&mut self, held: Held, total: i64) -> Result<(), Ended> {
        let (what, captured, body) = match held {
            Held::Left => return Ok(()),
            Held::Captured => ("capture", total, json!({})),
            Held::CapturedInPart => {
                let most = total - total / 10;
                ("capture", most, json!({"amount": pence(most)}))
            }
            Held::Voided => ("void", 0, json!({})),
        };
        let (request, answer) = self.operate(what, "1", body).await?;
        expect(&request, &answer, &[200, 201])?;
        if answer.body["captured"] != pence(captured) {
            return failed(format!("{request} took another amount than {captured}: {answer}"));
        }
        self.change_live(|payment| {
            payment.captured = captured;
            payment.voided = held == Held::Voided;
        })
    }

    async fn refund(&mut self, percent: i64) -> Result<(), Ended> {
        let Some(payment) = self.errand.live().cloned() else { return Ok(()) };
        let amount = (payment.captured * percent / 100).max(1);
        let nth = payment.refunds.len().to_string();
        let body = json!({"amount": pence(amount), "reason": "as agreed"});
        let (request, answer) = self.operate("refund", &nth, body).await?;
        expect(&request, &answer, &[200, 201])?;
        if answer.body["refunded"] != pence(payment.refunded() + amount) {
            return failed(format!("{request} of {amount} gave back something else: {answer}"));
        }
        self.change_live(|payment| payment.refunds.push(amount))
    }

    async fn refund_too_much(&mut self) -> Result<(), Ended> {
        let Some(payment) = self.errand.live().cloned() else { return Ok(()) };
        let body = json!({"amount": pence(payment.captured - payment.refunded() + 1)});
        let (request, answer) = self.operate("refund", "too-much", body).await?;
        match (answer.status, answer.code()) {
            (409, "refund_exceeds_captured") => Ok(()),
            _ => failed(format!("{request} beyond what was captured was answered {answer}")),
        }
    }

    async fn pay_again(&mut self, order: &Value) -> Result<(), Ended> {
        let method = json!({"type": "card", "token": "tok_ok"});
        let body = json!({"order_id": order["id"], "method": method, "capture": true});
        let key = self.key("again");
        let request = Request::post(&self.customer.me.token, "/payments", key).json(body);
        let answer = self.keyed(request.clone()).await?;
        match (answer.status, answer.code()) {
            (409, "already_paid") => Ok(()),
            _ => failed(format!("{request} for a paid order was answered {answer}")),
        }
    }

    async fn cancel(&mut self, order: &Value) -> Result<(), Ended> {
        let path = format!("/orders/{}/cancel", order["id"].as_str().unwrap_or_default());
        let request = Request::post(&self.customer.me.token, path, self.key("cancel"));
        let answer = self.keyed(request.clone()).await?;
        expect(&request, &answer, &[200])?;
        self.errand.cancelled = true;
        self.errand.unconfirmed = answer.body["payment_status"] == "authorized";
        Ok(())
    }

    async fn ship(&mut self, order: &Value) -> Result<(), Ended> {
        let path = format!("/orders/{}", order["id"].as_str().unwrap_or_default());
        let look = Request::get(&self.customer.me.token, &path);
        self.until(&look, |order| order["status"] == "confirmed").await?;
        for (to, shipped) in [("processing", Shipped::Packed), ("shipped", Shipped::Sent)] {
            let change = Request::of(Method::PATCH, &self.customer.admin.token, format!("{path}/status"));
            let change = change.json(json!({"status": to}));
            let answer = self.ask(&change).await?;
            // This request takes no key. One whose answer was lost may have been done, and says so when it comes again.
            let before = answer.status == 409 && answer.code() == "invalid_transition";
            if before {
                // Even if the burst is over: the ledger must know.
                let found = self.customer.client.ask(&look).await.map_err(Ended::Failed)?;
                if found.body["status"] != to {
                    return failed(format!(
                        "{change} to {to} was answered {answer}, and the order is {found}"
                    ));
                }
            } else {
                expect(&change, &answer, &[200])?;
            }
            self.errand.shipped = shipped;
        }
        Ok(())
    }

    /// An administrator's step with the money of the payment.
    async fn operate(&mut self, what: &str, nth: &str, body: Value) -> Result<(Request, Answer), Ended> {
        let payment = self.errand.live().map(|payment| payment.id.clone()).unwrap_or_default();
        let key = self.key(&format!("{what}-{nth}"));
        let path = format!("/payments/{payment}/{what}");
        let request = Request::post(&self.customer.admin.token, path, key).json(body);
        let answer = self.keyed(request.clone()).await?;
        Ok((request, answer))
    }

    fn change_live(&mut self, change: impl FnOnce(&mut Payment)) -> Result<(), Ended> {
        match self.errand.payments.iter_mut().find(|payment| !payment.declined) {
            Some(payment) => {
                change(payment);
                Ok(())
            }
            None => failed("there is no payment to change".to_owned()),
        }
    }

    /// Asks something with a key, and sometimes again: the answer must be the same.
    async fn keyed(&mut self, request: Request) -> Result<Answer, Ended> {
        let answer = self.ask(&request).await?;
        let percent = self.errand.plan.as_ref().map_or(0, |plan| plan.repeats_percent);
        // Refusals of what a request asks for are not kept: the same request may have another answer later.
        let is_kept = answer.status < 300 || matches!(answer.code(), "insufficient_stock" | "card_declined");
        if is_kept && self.dice.chance(percent) {
            let again = self.customer.client.ask(&request).await.map_err(Ended::Failed)?;
            self.errand.repeated += 1;
            same(&request, &answer, &again).map_err(Ended::Failed)?;
        }
        if is_kept {
            self.errand.answered.push((request, answer.clone()));
        }
        Ok(answer)
    }

    /// Asks, unless the burst is over.
    async fn ask(&self, request: &Request) -> Result<Answer, Ended> {
        if self.customer.over.load(Ordering::Relaxed) {
            return Err(Ended::Here);
        }
        self.customer.client.ask(request).await.map_err(Ended::Failed)
    }

    async fn until(&self, look: &Request, hoped: impl Fn(&Value) -> bool) -> Result<(), Ended> {
        let began = Instant::now();
        loop {
            let answer = self.ask(look).await?;
            if answer.status == 200 && hoped(&answer.body) {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return failed(format!("stuck: {look} never became as hoped: {answer}"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn key(&self, what: &str) -> String {
        format!("kill-{}-{what}", self.errand.name)
    }
}

/// Whether a repetition was answered as the first time.
pub fn same(request: &Request, first: &Answer, again: &Answer) -> Result<(), String> {
    if first.result() != again.result() {
        return Err(format!("doubled: {request} was answered {first}, and when it came again {again}"));
    }
    if !again.replayed {
        return Err(format!("doubled: {request} was done again: {again}"));
    }
    Ok(())
}

fn refusal(id: String) -> Payment {
    Payment { id, declined: true, ..Payment::default() }
}

fn expect(request: &Request, answer: &Answer, statuses: &[u16]) -> Result<(), Ended> {
    if statuses.contains(&answer.status) {
        return Ok(());
    }
    failed(format!("{request} was answered {answer}"))
}

fn failed<T>(words: String) -> Result<T, Ended> {
    Err(Ended::Failed(words))
}
