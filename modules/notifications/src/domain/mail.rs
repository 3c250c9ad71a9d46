//! A letter as an internet message (RFC 5322).

use kernel::Timestamp;

/// A message, ready for any transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mail {
    /// Names the message; sending it twice under one id is the same message.
    pub(crate) id: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) body: String,
    pub(crate) date: Timestamp,
}

impl Mail {
    /// The text of an `.eml` file: headers, an empty line, the body, every line ended by CR LF.
    pub(crate) fn to_text(&self) -> String {
        let headers = [
            format!("From: {}", mailbox(&self.from)),
            format!("To: {}", mailbox(&self.to)),
            format!("Subject: {}", header_value(&self.subject)),
            format!("Date: {}", date(self.date)),
            format!("Message-ID: <{}@souk>", self.id),
            "MIME-Version: 1.0".to_owned(),
            "Content-Type: text/plain; charset=utf-8".to_owned(),
            "Content-Transfer-Encoding: 8bit".to_owned(),
        ];
        let body = self.body.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n");
        format!("{}\r\n\r\n{body}", headers.join("\r\n"))
    }
}

/// One line without control characters; as an encoded word (RFC 2047, "B") if it is not ASCII. Each encoded word holds
/// whole characters and at most 45 bytes, so that it stays under the limit of 75 characters.
fn header_value(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.is_ascii() {
        return line;
    }
    let mut words = vec![String::new()];
    for c in line.chars() {
        if words.last().is_some_and(|word| word.len() + c.len_utf8() > 45) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    let encoded: Vec<String> =
        words.iter().map(|word| format!("=?utf-8?B?{}?=", base64(word.as_bytes()))).collect();
    encoded.join("\r\n ")
}

/// `Name <address>`: only the name may be an encoded word (RFC 2047, section 5).
fn mailbox(text: &str) -> String {
    match text.rsplit_once('<') {
        Some((name, address)) if !name.trim().is_empty() => {
            format!("{} <{}", header_value(name.trim()), one_line(address))
        }
        _ => one_line(text),
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// `Sun, 01 Mar 2026 12:00:00 +0000`.
fn date(at: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let iso = at.to_string();
    let part = |from: usize, to: usize| iso.get(from..to).unwrap_or_default();
    // The epoch was a Thursday.
    let weekday =
        usize::try_from(at.day_number() % 7).ok().and_then(|day| DAYS.get(day)).copied().unwrap_or_default();
    let month =
        part(5, 7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.saturating_sub(1))).copied();
    format!("{weekday}, {} {} {} {} +0000", part(8, 10), month.unwrap_or_default(), part(0, 4), part(11, 19))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(subject: &str) -> String {
        Mail {
            id: "1".to_owned(),
            from: "Souk <shop@example.com>".to_owned(),
            to: "ada@example.com".to_owned(),
            subject: subject.to_owned(),
            body: "One\nTwo\n".to_owned(),
            date: Timestamp::parse("2026-03-01T12:00:00Z").unwrap(),
        }
        .to_text()
    }

    #[test]
    fn a_mail_has_its_headers_then_its_body() {
        let text = mail("Your order");
        assert!(
            text.starts_with(
                "From: Souk <shop@example.com>\r\nTo: ada@example.com\r\nSubject: Your order\r\n"
            )
        );
        assert!(text.contains("\r\nDate: Sun, 01 Mar 2026 12:00:00 +0000\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\nOne\r\nTwo\r\n"), "{text}");
    }

    #[test]
    fn a_subject_cannot_add_headers_and_may_hold_any_letter() {
        assert!(mail("Hi\r\nBcc: eve@example.com").contains("\r\nSubject: Hi  Bcc: eve@example.com\r\n"));
        assert!(mail("Müller & Söhne").contains("Subject: =?utf-8?B?TcO8bGxlciAmIFPDtmhuZQ==?=\r\n"));
        assert_eq!(mailbox("Café <shop@example.com>"), "=?utf-8?B?Q2Fmw6k=?= <shop@example.com>");
        assert_eq!(
            mailbox("ada@example.com\r\nBcc: eve@example.com"),
            "ada@example.com  Bcc: eve@example.com"
        );
        let long = mail(&"ä".repeat(60));
        assert!(long.lines().all(|line| line.len() <= 90), "{long}");
    }
}
