//! Endpoints of other programs.

use thiserror::Error;

/// The events that an endpoint may ask for.
pub(crate) const EVENTS: [&str; 6] = [
    "order.created",
    "order.status_changed",
    "order.updated",
    "order.deleted",
    "payment.captured",
    "payment.refunded",
];

/// Why an endpoint is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum EndpointRefusal {
    #[error(
        "a webhook URL is http:// or https:// with a host, at most 2,000 characters, without user and password"
    )]
    Url,
    #[error("`{0}` is not an event; there are {events}", events = EVENTS.join(", "))]
    Event(String),
    #[error("name at least one event")]
    NoEvents,
    #[error("a secret is whsec_ and 24 to 64 bytes in base64 (Standard Webhooks 1.0)")]
    Secret,
}

impl EndpointRefusal {
    /// Where in the body the fault is.
    pub(crate) fn pointer(&self) -> &'static str {
        match self {
            EndpointRefusal::Url => "/url",
            EndpointRefusal::Event(_) | EndpointRefusal::NoEvents => "/events",
            EndpointRefusal::Secret => "/secret",
        }
    }
}

/// Reads a URL.
pub(crate) fn parse_url(text: &str) -> Result<String, EndpointRefusal> {
    let text = text.trim();
    let rest =
        text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or(EndpointRefusal::Url)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let plain = text.chars().all(|c| c.is_ascii_graphic());
    if authority.is_empty()
        || authority.starts_with(':')
        || authority.contains('@')
        || !plain
        || text.len() > 2_000
    {
        return Err(EndpointRefusal::Url);
    }
    Ok(text.to_owned())
}

/// Reads the names of events; sorted, each once.
pub(crate) fn parse_events(names: &[String]) -> Result<Vec<String>, EndpointRefusal> {
    if let Some(unknown) = names.iter().find(|name| !EVENTS.contains(&name.as_str())) {
        return Err(EndpointRefusal::Event(unknown.chars().take(100).collect()));
    }
    let mut events = names.to_vec();
    events.sort_unstable();
    events.dedup();
    if events.is_empty() { Err(EndpointRefusal::NoEvents) } else { Ok(events) }
}

/// Reads a secret.
pub(crate) fn parse_secret(text: &str) -> Result<String, EndpointRefusal> {
    use base64::Engine;
    let encoded = text.strip_prefix("whsec_").ok_or(EndpointRefusal::Secret)?;
    let bytes =
        base64::engine::general_purpose::STANDARD.decode(encoded).map_err(|_| EndpointRefusal::Secret)?;
    if (24..=64).contains(&bytes.len()) { Ok(text.to_owned()) } else { Err(EndpointRefusal::Secret) }
}

/// What may be shown of a secret after it was created.
pub(crate) fn masked(secret: &str) -> String {
    let last: String = secret.chars().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect();
    format!("whsec_********{last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_events_and_secrets_are_checked() {
        assert!(parse_url("https://example.com/hook?a=b").is_ok());
        for bad in
            ["", "ftp://x", "https://", "https://u:p@x", "https://x y", "javascript:alert(1)", "http://:80"]
        {
            assert_eq!(parse_url(bad), Err(EndpointRefusal::Url), "{bad}");
        }
        let named =
            |names: &[&str]| parse_events(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(named(&[]), Err(EndpointRefusal::NoEvents));
        assert_eq!(named(&["order.eaten"]), Err(EndpointRefusal::Event("order.eaten".to_owned())));
        assert_eq!(named(&["payment.captured", "order.created", "order.created"]).unwrap().len(), 2);
        assert!(parse_secret("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz").is_ok());
        assert_eq!(parse_secret("whsec_c2hvcnQ="), Err(EndpointRefusal::Secret));
        assert_eq!(masked("whsec_MDEyMzQ1"), "whsec_********MzQ1");
    }
}
