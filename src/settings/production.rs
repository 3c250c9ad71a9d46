//! What a shop that takes money must not run with.

use platform::db::password;

use super::secret_files::variable;
use super::{Profile, Settings, SettingsError, invalid};
use crate::wiring::Secret;

/// The fewest bytes of a secret. `openssl rand -hex 32` gives twice as many.
const MIN_BYTES: usize = 32;

/// The secret of `.env.example` between processes, which everyone can read.
pub(super) const KNOWN_SECRET: &str = "souk-development-internal-secret";

/// The passwords of `.env.example`.
pub(super) const KNOWN_PASSWORDS: &[&str] =
    &["soukdevelopment", "postgresdevelopment", "rabbitmqdevelopment"];

/// Refuses what is fine for trying things out only. Other profiles pass.
pub(super) fn check(settings: &Settings) -> Result<(), SettingsError> {
    if settings.profile != Profile::Production {
        return Ok(());
    }
    if settings.demo.load {
        return Err(invalid(
            "demo.load",
            "the production profile refuses demo data: its passwords are known to everyone",
        ));
    }
    if settings.server.docs {
        return Err(invalid(
            "server.docs",
            "the production profile refuses pages to try the API out on; `souk openapi` writes the documents, to be \
             published elsewhere",
        ));
    }
    let mut secrets = settings.modules.secrets(&settings.only);
    // Without a secret there are no calls between processes; a split shop is refused without one elsewhere.
    if !settings.internal.secret.is_empty() {
        let value = &settings.internal.secret;
        secrets.push(Secret { setting: "internal.secret", value, known: KNOWN_SECRET.to_owned() });
    }
    secrets.into_iter().try_for_each(|secret| check_secret(&secret))?;
    let urls = settings.database.urls.iter().map(|(module, url)| (format!("database.urls.{module}"), url));
    let others = [
        ("database.url".to_owned(), &settings.database.url),
        ("rabbitmq.url".to_owned(), &settings.rabbitmq.url),
        ("redis.url".to_owned(), &settings.redis.url),
    ];
    let is_known = |url: &str| password(url).is_some_and(|word| KNOWN_PASSWORDS.contains(&word));
    if let Some((setting, _)) = urls.chain(others).find(|(_, url)| is_known(url)) {
        return Err(invalid(
            &setting,
            "the production profile refuses the passwords of .env.example; make your own: openssl rand -hex 32",
        ));
    }
    if !is_https(&settings.access.issuer) {
        return Err(invalid(
            "access.issuer",
            "the production profile needs the https:// address of the shop here, such as https://shop.example.com \
             (SOUK__ACCESS__ISSUER): access tokens name it",
        ));
    }
    Ok(())
}

fn check_secret(secret: &Secret<'_>) -> Result<(), SettingsError> {
    let problem = if secret.value == secret.known {
        "a default secret, which everyone knows".to_owned()
    } else if secret.value.len() < MIN_BYTES {
        format!("a secret of less than {MIN_BYTES} bytes")
    } else {
        return Ok(());
    };
    let name = variable(secret.setting);
    Err(invalid(
        secret.setting,
        format!(
            "the production profile refuses {problem}. Make your own with `openssl rand -hex 32`, and give it as {name}, or \
             the file that holds it as {name}_FILE"
        ),
    ))
}

/// An issuer as RFC 8414 (section 2) has it: https, a host, and neither a user nor a query nor a fragment.
fn is_https(issuer: &str) -> bool {
    let Some(rest) = issuer.strip_prefix("https://") else {
        return false;
    };
    let host = rest.split('/').next().unwrap_or_default();
    !host.is_empty()
        && !host.starts_with(':')
        && !rest.contains(['?', '#', '@', '\\'])
        && rest.chars().all(|c| c.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Overrides;
    use crate::settings::tests::load;

    const LONG: &str = "0123456789abcdef0123456789abcdef";
    const GOOD: [(&str, &str); 3] = [
        ("SOUK__AUTH__PEPPER", LONG),
        ("SOUK__PAYMENTS__WEBHOOK_SECRET", LONG),
        ("SOUK__ACCESS__ISSUER", "https://shop.example.com"),
    ];

    fn production(changed: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let overrides = Overrides { profile: Some(Profile::Production), ..Overrides::default() };
        let kept = GOOD.iter().filter(|(name, _)| changed.iter().all(|(other, _)| other != name));
        load(&overrides, &kept.chain(changed).copied().collect::<Vec<_>>())
    }

    #[test]
    fn a_shop_with_its_own_secrets_may_start() {
        let more = [
            ("SOUK__INTERNAL__SECRET", LONG),
            ("SOUK__DATABASE__URL", "postgres://souk:a-password-of-its-own@db/souk"),
            ("SOUK__RABBITMQ__URL", "amqp://souk:another@mq/%2f"),
        ];
        production(&[]).unwrap();
        production(&more).unwrap();
    }

    #[test]
    fn each_thing_that_is_only_for_trying_out_is_refused_by_name() {
        for (variable, value, setting) in [
            ("SOUK__AUTH__PEPPER", "", "auth.pepper"), // nothing is given: the default
            ("SOUK__AUTH__PEPPER", "souk-development-pepper", "auth.pepper"),
            ("SOUK__AUTH__PEPPER", &LONG[1..], "auth.pepper"),
            ("SOUK__PAYMENTS__WEBHOOK_SECRET", "whsec_souk-development-secret", "payments.webhook_secret"),
            ("SOUK__PAYMENTS__WEBHOOK_SECRET", "short", "payments.webhook_secret"),
            ("SOUK__INTERNAL__SECRET", KNOWN_SECRET, "internal.secret"),
            ("SOUK__INTERNAL__SECRET", "sixteen characters", "internal.secret"),
            ("SOUK__DEMO__LOAD", "true", "demo.load"),
            ("SOUK__SERVER__DOCS", "true", "server.docs"),
            ("SOUK__ACCESS__ISSUER", "", "access.issuer"),
            ("SOUK__ACCESS__ISSUER", "http://shop.example.com", "access.issuer"),
            ("SOUK__ACCESS__ISSUER", "https://", "access.issuer"),
            ("SOUK__ACCESS__ISSUER", "https://shop.example.com/?a=b", "access.issuer"),
            ("SOUK__ACCESS__ISSUER", "https://shop@example.com", "access.issuer"),
            ("SOUK__DATABASE__URL", "postgres://souk:soukdevelopment@db/souk", "database.url"),
            (
                "SOUK__DATABASE__URLS__ORDERS",
                "postgres://db/souk?password=soukdevelopment",
                "database.urls.orders",
            ),
            ("SOUK__RABBITMQ__URL", "amqp://souk:rabbitmqdevelopment@mq/%2f", "rabbitmq.url"),
        ] {
            let refusal = production(&[(variable, value)]).unwrap_err().to_string();
            assert!(refusal.starts_with(&format!("{setting}: ")), "{variable}={value}: {refusal}");
            let is_secret = !["", "true", "https://"].contains(&value);
            assert!(!is_secret || !refusal.contains(value), "{refusal}");
        }
        let refusal = production(&[("SOUK__AUTH__PEPPER", "short")]).unwrap_err().to_string();
        for help in ["openssl rand -hex 32", "SOUK__AUTH__PEPPER", "SOUK__AUTH__PEPPER_FILE", "32 bytes"] {
            assert!(refusal.contains(help), "{refusal}");
        }
    }

    #[test]
    fn a_process_needs_the_secrets_of_its_own_modules_only() {
        let here = [
            ("SOUK__ONLY", "catalog"),
            ("SOUK__INTERNAL__SECRET", LONG),
            ("SOUK__AUTH__PEPPER", ""),
            ("SOUK__PAYMENTS__WEBHOOK_SECRET", ""),
        ];
        production(&here).unwrap();
    }

    #[test]
    fn what_is_refused_is_what_the_example_has() {
        let example = include_str!("../../.env.example");
        let values: Vec<&str> = example
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once('='))
            .filter(|(name, _)| ["PASSWORD", "SECRET", "PEPPER"].iter().any(|word| name.ends_with(word)))
            .map(|(_, value)| value)
            .collect();
        let mut known: Vec<&str> = KNOWN_PASSWORDS.to_vec();
        known.extend([KNOWN_SECRET, "souk-development-pepper", "whsec_souk-development-secret"]);
        known.sort_unstable();
        let mut listed = values.clone();
        listed.sort_unstable();
        assert_eq!(listed, known);
    }
}
