//! What a shopkeeper may say of a product.

use kernel::{Currency, Money, Sku};
use thiserror::Error;
use uuid::Uuid;

/// The highest price, in minor units: 1,000,000.00.
pub(crate) const MAX_PRICE_MINOR: i64 = 100_000_000;
/// The longest name, in characters.
pub(crate) const MAX_NAME: usize = 200;
/// The longest category, in characters.
pub(crate) const MAX_CATEGORY: usize = 100;
/// The longest description, in characters.
pub(crate) const MAX_DESCRIPTION: usize = 10_000;
/// The longest address of an image, in characters.
pub(crate) const MAX_IMAGE_URL: usize = 2_000;
/// The most attributes.
pub(crate) const MAX_ATTRIBUTES: usize = 50;
/// The longest attributes, in bytes of JSON.
pub(crate) const MAX_ATTRIBUTES_BYTES: usize = 8 * 1024;

/// A rule of products.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Rule {
    #[error(transparent)]
    Sku(#[from] kernel::SkuError),
    /// A path names a product by its id or by its SKU, and must not mean two products.
    #[error("a SKU is not written like an id")]
    SkuLikeId,
    #[error("1 to {max} characters, and no control characters", max = .0)]
    Text(usize),
    #[error("at most {MAX_DESCRIPTION} characters, and no control characters but tabs and line ends")]
    Description,
    #[error("a price is 0 to 1,000,000.00")]
    Price,
    #[error("this shop's prices are in {0}")]
    Currency(Currency),
    #[error(
        "an address that begins with http:// or https://, at most {MAX_IMAGE_URL} characters, without spaces"
    )]
    ImageUrl,
    #[error(
        "at most {MAX_ATTRIBUTES} attributes of {MAX_ATTRIBUTES_BYTES} bytes of JSON in all, without NUL characters"
    )]
    Attributes,
}

/// A rule that was broken, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {rule}")]
pub(crate) struct Refusal {
    /// The field's path, such as `price/currency`.
    pub(crate) field: &'static str,
    pub(crate) rule: Rule,
}

/// A product as someone wrote it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) category: String,
    pub(crate) price: Money,
    pub(crate) active: bool,
    pub(crate) image_url: Option<String>,
}

/// A draft that keeps every rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Details {
    sku: Sku,
    fields: Draft,
}

impl Details {
    /// Drops the space around texts; an empty description or image is none. Names every rule that is broken.
    pub(crate) fn parse(draft: Draft, shop: Currency) -> Result<Self, Vec<Refusal>> {
        let mut refusals = Vec::new();
        let mut keep = |field: &'static str, outcome: Result<(), Rule>| {
            refusals.extend(outcome.err().map(|rule| Refusal { field, rule }));
        };
        let fields = Draft {
            sku: draft.sku.trim().to_owned(),
            name: draft.name.trim().to_owned(),
            description: trimmed(draft.description),
            category: draft.category.trim().to_owned(),
            image_url: trimmed(draft.image_url),
            ..draft
        };
        let sku = parse_sku(&fields.sku);
        keep("sku", sku.as_ref().map(|_| ()).map_err(Clone::clone));
        keep("name", line(&fields.name, MAX_NAME));
        keep("category", line(&fields.category, MAX_CATEGORY));
        keep("description", fields.description.as_deref().map_or(Ok(()), description));
        keep("image_url", fields.image_url.as_deref().map_or(Ok(()), image_url));
        keep("price/amount", price(fields.price));
        keep(
            "price/currency",
            if fields.price.currency == shop { Ok(()) } else { Err(Rule::Currency(shop)) },
        );
        match sku {
            Ok(sku) if refusals.is_empty() => {
                Ok(Self { fields: Draft { sku: sku.as_str().to_owned(), ..fields }, sku })
            }
            _ => Err(refusals),
        }
    }

    pub(crate) fn sku(&self) -> &Sku {
        &self.sku
    }

    /// The draft, tidied.
    pub(crate) fn fields(&self) -> &Draft {
        &self.fields
    }
}

fn trimmed(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn parse_sku(text: &str) -> Result<Sku, Rule> {
    if as_id(text).is_some() {
        return Err(Rule::SkuLikeId);
    }
    Ok(Sku::parse(text)?)
}

/// A text in the one form in which ids are written: 36 characters with hyphens.
pub(crate) fn as_id(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::parse_str(text).ok() } else { None }
}

/// A text of one line.
fn line(text: &str, longest: usize) -> Result<(), Rule> {
    let fits = (1..=longest).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(Rule::Text(longest)) }
}

/// A category to list; the same rule as a product's own.
pub(crate) fn parse_category(text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    line(text, MAX_CATEGORY).map_err(|rule| Refusal { field: "category", rule })?;
    Ok(text.to_owned())
}

fn description(text: &str) -> Result<(), Rule> {
    let is_foreign = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t');
    let fits = text.chars().count() <= MAX_DESCRIPTION && !text.chars().any(is_foreign);
    if fits { Ok(()) } else { Err(Rule::Description) }
}

fn price(price: Money) -> Result<(), Rule> {
    if (0..=MAX_PRICE_MINOR).contains(&price.amount_minor) { Ok(()) } else { Err(Rule::Price) }
}

/// Only the web's own schemes: a page that shows the image must not run it.
fn image_url(text: &str) -> Result<(), Rule> {
    let host = ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = text.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let is_foreign = |letter: char| {
        letter.is_control()
            || letter.is_whitespace()
            || matches!(letter, '"' | '<' | '>' | '\\' | '`' | '{' | '}')
    };
    let fits = host.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#']))
        && text.chars().count() <= MAX_IMAGE_URL
        && !text.chars().any(is_foreign);
    if fits { Ok(()) } else { Err(Rule::ImageUrl) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mug() -> Draft {
        Draft {
            sku: " mug-1 ".to_owned(),
            name: " Blue mug ".to_owned(),
            description: Some("  ".to_owned()),
            category: "Kitchen".to_owned(),
            price: Money::new(999, Currency::GBP),
            active: true,
            image_url: Some("https://shop.example/mug.png".to_owned()),
        }
    }

    fn fields_at_fault(draft: Draft) -> Vec<&'static str> {
        Details::parse(draft, Currency::GBP).unwrap_err().into_iter().map(|refusal| refusal.field).collect()
    }

    #[test]
    fn a_draft_is_tidied() {
        let details = Details::parse(mug(), Currency::GBP).unwrap();
        let fields = details.fields();
        assert_eq!(
            (details.sku().as_str(), fields.sku.as_str(), fields.name.as_str()),
            ("MUG-1", "MUG-1", "Blue mug")
        );
        assert_eq!(fields.description, None);
    }

    #[test]
    fn every_broken_rule_is_named() {
        let broken = Draft {
            sku: "a/b".to_owned(),
            name: " ".to_owned(),
            description: Some("a\0b".to_owned()),
            category: "x".repeat(101),
            price: Money::new(-1, Currency::parse("USD").unwrap()),
            active: true,
            image_url: Some("javascript:alert(1)".to_owned()),
        };
        let all = ["sku", "name", "category", "description", "image_url", "price/amount", "price/currency"];
        assert_eq!(fields_at_fault(broken), all);
    }

    #[test]
    fn the_bounds_themselves_are_allowed() {
        let widest = Draft {
            name: "ä".repeat(MAX_NAME),
            category: "ä".repeat(MAX_CATEGORY),
            description: Some("ä".repeat(MAX_DESCRIPTION)),
            price: Money::new(MAX_PRICE_MINOR, Currency::GBP),
            ..mug()
        };
        assert!(Details::parse(widest, Currency::GBP).is_ok());
        assert!(Details::parse(Draft { price: Money::zero(Currency::GBP), ..mug() }, Currency::GBP).is_ok());
        let too_dear = Money::new(MAX_PRICE_MINOR + 1, Currency::GBP);
        assert_eq!(fields_at_fault(Draft { price: too_dear, ..mug() }), ["price/amount"]);
        assert_eq!(fields_at_fault(Draft { name: "a\u{7}".to_owned(), ..mug() }), ["name"]);
        assert_eq!(fields_at_fault(Draft { name: "x".repeat(MAX_NAME + 1), ..mug() }), ["name"]);
    }

    #[test]
    fn images_are_of_the_web() {
        for good in ["http://a/b", "HTTPS://a.example/ü.png?x=1#y"] {
            assert_eq!(image_url(good), Ok(()), "{good}");
        }
        let long = format!("https://a/{}", "x".repeat(MAX_IMAGE_URL));
        for bad in [
            "",
            "a.png",
            "//a/b",
            "ftp://a/b",
            "http://",
            "https:///x",
            "https://a/ b",
            "https://a/\"><",
            &long,
        ] {
            assert_eq!(image_url(bad), Err(Rule::ImageUrl), "{bad}");
        }
    }

    #[test]
    fn a_sku_never_reads_as_an_id() {
        let id = "019357a0-7b2c-7c3e-9f00-5d1c2b3a4f5e";
        assert!(as_id(id).is_some() && as_id(&id.replace('-', "")).is_none());
        assert_eq!(parse_sku(id), Err(Rule::SkuLikeId));
        assert!(parse_sku(&id.replace('-', "")).is_ok());
    }
}
