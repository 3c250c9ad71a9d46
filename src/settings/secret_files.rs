//! Secrets from files: `SOUK__AUTH__PEPPER_FILE=/run/secrets/pepper` sets `auth.pepper` to what the file holds.
//!
//! Environments are inherited, dumped and shown by tools; a file has permissions. Orchestrators mount secrets that way. Only
//! settings that are secret can be read so: a `_FILE` behind any other name is the unknown setting that it looks like.

use std::collections::HashMap;

use super::{SettingsError, invalid};
use crate::wiring::MODULE_NAMES;

const SUFFIX: &str = "_FILE";

/// The settings that hold a secret, or an address that may hold a password. `database.urls.<module>` is added for each module.
pub(super) const SECRETS: &[&str] = &[
    "auth.pepper",
    "payments.webhook_secret",
    "internal.secret",
    "database.url",
    "rabbitmq.url",
    "redis.url",
];

/// The variable of a setting: `SOUK__AUTH__PEPPER` for `auth.pepper`.
pub(super) fn variable(setting: &str) -> String {
    format!("SOUK__{}", setting.replace('.', "__").to_uppercase())
}

/// Replaces each `SOUK__<secret>_FILE` by `SOUK__<secret>` with what its file holds, without the line end after it.
pub(super) fn read(variables: &mut HashMap<String, String>) -> Result<(), SettingsError> {
    let urls = MODULE_NAMES.iter().map(|module| format!("database.urls.{module}"));
    for setting in SECRETS.iter().map(|name| (*name).to_owned()).chain(urls) {
        let name = variable(&setting);
        let Some(path) = variables.remove(&format!("{name}{SUFFIX}")).filter(|path| !path.is_empty()) else {
            continue;
        };
        if variables.get(&name).is_some_and(|value| !value.is_empty()) {
            return Err(invalid(
                &setting,
                format!("both {name} and {name}{SUFFIX} are set; unset one of them"),
            ));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| {
            invalid(&setting, format!("{name}{SUFFIX} names {path}, which cannot be read: {error}"))
        })?;
        let secret = text.strip_suffix('\n').unwrap_or(&text);
        let secret = secret.strip_suffix('\r').unwrap_or(secret);
        if secret.is_empty() {
            return Err(invalid(&setting, format!("{name}{SUFFIX} names {path}, which is empty")));
        }
        variables.insert(name, secret.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(of: &[(&str, &str)]) -> HashMap<String, String> {
        of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_file_gives_the_secret_without_its_line_end() {
        for (text, secret) in
            [("hunter2\n", "hunter2"), ("hunter2\r\n", "hunter2"), (" two\nlines \n", " two\nlines ")]
        {
            let file = file(text);
            let mut read_from =
                variables(&[("SOUK__DATABASE__URLS__ORDERS_FILE", file.path().to_str().unwrap())]);
            read(&mut read_from).unwrap();
            assert_eq!(read_from, variables(&[("SOUK__DATABASE__URLS__ORDERS", secret)]));
        }
    }

    #[test]
    fn a_file_that_gives_no_secret_is_named_and_so_is_a_secret_given_twice() {
        let (empty, full) = (file("\n"), file("hunter2"));
        let full = full.path().to_str().unwrap();
        for (given, named) in [
            (variables(&[("SOUK__AUTH__PEPPER_FILE", "/nowhere/pepper")]), "/nowhere/pepper"),
            (variables(&[("SOUK__AUTH__PEPPER_FILE", empty.path().to_str().unwrap())]), "is empty"),
            (
                variables(&[("SOUK__AUTH__PEPPER_FILE", full), ("SOUK__AUTH__PEPPER", "x")]),
                "SOUK__AUTH__PEPPER and",
            ),
        ] {
            let refusal = read(&mut given.clone()).unwrap_err().to_string();
            assert!(refusal.starts_with("auth.pepper: ") && refusal.contains(named), "{refusal}");
            assert!(!refusal.contains("hunter2"), "{refusal}");
        }
    }

    #[test]
    fn only_secrets_come_from_files() {
        let port = variables(&[("SOUK__SERVER__PORT_FILE", "/etc/port")]);
        let mut left = port.clone();
        read(&mut left).unwrap();
        assert_eq!(left, port, "it stays, to be refused as the unknown setting it is");
    }
}
