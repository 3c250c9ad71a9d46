//! The texts. Values from outside (names, numbers) are put on one line first, so that they cannot add lines of their own.

use contracts::orders::OrderStatus;
use kernel::Money;

/// A text for one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    /// Which text it is.
    pub(crate) template: &'static str,
    pub(crate) subject: String,
    pub(crate) body: String,
}

/// One line of an order, as the letter shows it.
pub(crate) struct LetterLine {
    pub(crate) name: String,
    pub(crate) quantity: i64,
    pub(crate) line_total: Money,
}

pub(crate) fn welcome(name: Option<&str>) -> Letter {
    Letter {
        template: "welcome",
        subject: "Welcome".to_owned(),
        body: format!("{}\n\nYour account is ready. Good to have you here.\n", greeting(name)),
    }
}

/// The letters whose bodies are secrets: they are not kept once they are sent.
pub(crate) const SECRET_TEMPLATES: &[&str] = &["verify_email", "reset_password"];

/// A token, and the page that takes it, if the shop has one.
pub(crate) struct Proof<'a> {
    pub(crate) token: &'a str,
    pub(crate) link: Option<&'a str>,
}

impl Proof<'_> {
    fn paragraph(&self) -> String {
        match self.link.map(one_line) {
            Some(link) => {
                format!("Open this page:\n\n  {link}\n\nOr use this token: {}\n", one_line(self.token))
            }
            None => format!("Your token: {}\n", one_line(self.token)),
        }
    }
}

pub(crate) fn verify_email(name: Option<&str>, proof: &Proof<'_>) -> Letter {
    Letter {
        template: "verify_email",
        subject: "Confirm your email address".to_owned(),
        body: format!(
            "{}\n\nPlease confirm that this address is yours. {}\nIt is good once and for a day.\n",
            greeting(name),
            proof.paragraph()
        ),
    }
}

pub(crate) fn reset_password(name: Option<&str>, proof: &Proof<'_>) -> Letter {
    Letter {
        template: "reset_password",
        subject: "Choose another password".to_owned(),
        body: format!(
            "{}\n\nSomeone, most likely you, wants to choose another password for your account. {}\nIt is good once and for half an hour. If it was not you, do nothing: your password stays as it is.\n",
            greeting(name),
            proof.paragraph()
        ),
    }
}

pub(crate) fn password_changed(name: Option<&str>) -> Letter {
    Letter {
        template: "password_changed",
        subject: "Your password was changed".to_owned(),
        body: format!(
            "{}\n\nYour account has another password, and everyone who was logged in has to log in anew. If it was not you, ask for a letter to choose another password at once.\n",
            greeting(name)
        ),
    }
}

pub(crate) fn second_factor_removed(name: Option<&str>) -> Letter {
    Letter {
        template: "second_factor_removed",
        subject: "Your second factor was taken away".to_owned(),
        body: format!(
            "{}\n\nYour account needs no code of an authenticator app any more; the password alone is enough. If it was not you who asked for this, choose another password and set up an app again at once.\n",
            greeting(name)
        ),
    }
}

pub(crate) fn order_created(name: Option<&str>, number: &str, lines: &[LetterLine], total: Money) -> Letter {
    let number = one_line(number);
    let list: String = lines
        .iter()
        .map(|line| format!("  {} x {}: {}\n", line.quantity, one_line(&line.name), line.line_total))
        .collect();
    Letter {
        template: "order_created",
        subject: format!("We have your order {number}"),
        body: format!(
            "{}\n\nThank you for your order {number}.\n\n{list}\nTotal: {total}\n\nWe hold the goods for you until it is paid.\n",
            greeting(name)
        ),
    }
}

/// The letter about a new status; there is none about going back to `pending` or about packing.
pub(crate) fn order_status(name: Option<&str>, number: &str, status: OrderStatus) -> Option<Letter> {
    let (template, subject, sentence) = match status {
        OrderStatus::Confirmed => ("order_confirmed", "is confirmed", "is confirmed. We pack it next."),
        OrderStatus::Shipped => {
            ("order_shipped", "is on its way", "has left our house and is on its way to you.")
        }
        OrderStatus::Delivered => ("order_delivered", "has arrived", "has arrived. Enjoy it."),
        OrderStatus::Cancelled => {
            ("order_cancelled", "is cancelled", "is cancelled. What you have paid for it comes back to you.")
        }
        OrderStatus::Pending | OrderStatus::Processing => return None,
    };
    let number = one_line(number);
    Some(Letter {
        template,
        subject: format!("Your order {number} {subject}"),
        body: format!("{}\n\nYour order {number} {sentence}\n", greeting(name)),
    })
}

pub(crate) fn payment_captured(name: Option<&str>, captured: Money) -> Letter {
    Letter {
        template: "payment_captured",
        subject: format!("We have received {captured}"),
        body: format!("{}\n\nWe have received your payment of {captured}. Thank you.\n", greeting(name)),
    }
}

pub(crate) fn payment_refunded(name: Option<&str>, refunded: Money) -> Letter {
    Letter {
        template: "payment_refunded",
        subject: format!("We have refunded {refunded}"),
        body: format!("{}\n\nWe have sent {refunded} back to your card.\n", greeting(name)),
    }
}

fn greeting(name: Option<&str>) -> String {
    match name.map(one_line).filter(|name| !name.is_empty()) {
        Some(name) => format!("Dear {name},"),
        None => "Hello,".to_owned(),
    }
}

fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_control()).collect::<Vec<_>>().join(" ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use kernel::Currency;

    use super::*;

    #[test]
    fn a_letter_lists_what_was_ordered() {
        let total = Money::new(1700, Currency::GBP);
        let lines =
            [LetterLine { name: "Blue mug\n\nPay to: me".to_owned(), quantity: 2, line_total: total }];
        let letter = order_created(Some("Ada"), "N-1", &lines, total);
        assert_eq!(letter.subject, "We have your order N-1");
        assert!(letter.body.starts_with("Dear Ada,\n\nThank you for your order N-1."), "{}", letter.body);
        assert!(letter.body.contains("  2 x Blue mug  Pay to: me: 17.00 GBP\n"), "{}", letter.body);
    }

    #[test]
    fn a_letter_with_a_token_has_it_and_the_page_that_takes_it() {
        let bare = reset_password(Some("Ada"), &Proof { token: "t0ken", link: None });
        assert!(bare.body.contains("Your token: t0ken\n"), "{}", bare.body);
        let link = Some("https://shop.example/reset?t=t0ken");
        let linked = verify_email(None, &Proof { token: "t0ken", link });
        assert!(linked.body.contains("  https://shop.example/reset?t=t0ken\n"), "{}", linked.body);
        for letter in [bare, linked] {
            assert!(SECRET_TEMPLATES.contains(&letter.template) && !letter.subject.contains("t0ken"));
        }
    }

    #[test]
    fn customers_hear_of_what_concerns_them() {
        let told: Vec<_> = OrderStatus::ALL
            .iter()
            .filter_map(|status| order_status(None, "1", *status))
            .map(|l| l.template)
            .collect();
        assert_eq!(told, ["order_confirmed", "order_shipped", "order_delivered", "order_cancelled"]);
    }
}
