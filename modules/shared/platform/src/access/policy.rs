//! Who may call which operation. The one place where it is said is the `security(...)` beside the route; the documents of the
//! API and this table are both read from there.
//!
//! A requirement is a credential, `bearer` or `api_key`, with what its bearer must have: the role `admin`, or a scope
//! (OpenAPI 3.1 lets a requirement list roles). `()` is everyone. An operation that says nothing, or something that is
//! not understood, is an error at start: there is no default but a refusal.

use std::collections::HashMap;

use actix_web::http::Method;
use contracts::scopes::Scope;
use thiserror::Error;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::Operation;

/// The credential of a person: an access token.
pub const BEARER: &str = "bearer";
/// The credential of a machine.
pub const API_KEY: &str = "api_key";
const ADMIN: &str = "admin";

/// Why an operation cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{operation}: {problem}; say beside its route who may call it, `security(...)`")]
pub struct PolicyError {
    /// `GET /orders/{id}`.
    pub operation: String,
    pub problem: String,
}

/// What the bearer of a credential must have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Need {
    /// The role.
    pub admin: bool,
    /// Of an API key: each of these.
    pub scopes: Vec<Scope>,
}

/// Who may call an operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether nobody needs to be known.
    pub everyone: bool,
    /// With an access token; `None` if not with one.
    pub bearer: Option<Need>,
    /// With an API key; `None` if not with one.
    pub api_key: Option<Need>,
}

impl Policy {
    /// What an operation says of itself.
    fn of(operation: &Operation) -> Result<Self, String> {
        let requirements = serde_json::to_value(operation.security.as_deref().unwrap_or_default())
            .map_err(|error| error.to_string())?;
        let requirements = requirements.as_array().cloned().unwrap_or_default();
        if requirements.is_empty() {
            return Err("it has no policy".to_owned());
        }
        let mut policy = Self::default();
        for requirement in requirements {
            let schemes = requirement.as_object().cloned().unwrap_or_default();
            if schemes.len() > 1 {
                return Err("two credentials at once are not understood".to_owned());
            }
            let Some((scheme, list)) = schemes.into_iter().next() else {
                policy.everyone = true;
                continue;
            };
            let list: Vec<String> = serde_json::from_value(list).map_err(|error| error.to_string())?;
            let need = Need::of(&list)?;
            match scheme.as_str() {
                BEARER if need.scopes.is_empty() => policy.bearer = Some(need),
                API_KEY if !need.scopes.is_empty() => policy.api_key = Some(need),
                other => return Err(format!("`{other}` with these needs is not understood")),
            }
        }
        Ok(policy)
    }

    /// Whether it makes no difference who asks.
    pub(crate) fn is_for_everyone_alike(&self) -> bool {
        self.everyone && self.bearer.is_none() && self.api_key.is_none()
    }
}

impl Need {
    fn of(list: &[String]) -> Result<Self, String> {
        let mut need = Self::default();
        for name in list {
            match name.as_str() {
                ADMIN => need.admin = true,
                scope => need.scopes.push(scope.parse().map_err(|error| format!("`{scope}`: {error}"))?),
            }
        }
        Ok(need)
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    /// It comes before a parameter where both fit, as in routing.
    Literal(String),
    Parameter,
}

/// An operation's pattern with its policy.
type Operations = Vec<(Vec<Segment>, Policy)>;

/// The policy of every operation that a server has, by method and number of segments.
#[derive(Debug, Default)]
pub struct Policies(HashMap<(Method, usize), Operations>);

impl Policies {
    /// Adds the operations of a document.
    pub fn add_all(&mut self, document: &OpenApi) -> Result<(), PolicyError> {
        for (path, item) in &document.paths.paths {
            let operations = [
                (Method::DELETE, &item.delete),
                (Method::GET, &item.get),
                (Method::PATCH, &item.patch),
                (Method::POST, &item.post),
                (Method::PUT, &item.put),
            ];
            for (method, operation) in operations {
                let Some(operation) = operation else { continue };
                let policy = Policy::of(operation)
                    .map_err(|problem| PolicyError { operation: format!("{method} {path}"), problem })?;
                self.add(method, path, policy);
            }
        }
        Ok(())
    }

    /// Adds a path that has no document and is for everyone: health, the documents themselves, and internal routes, which have a
    /// gate of their own.
    pub fn open(&mut self, method: Method, path: &str) {
        self.add(method, path, Policy { everyone: true, ..Policy::default() });
    }

    fn add(&mut self, method: Method, path: &str, policy: Policy) {
        let segments: Vec<Segment> = parts(path)
            .map(|part| match part.starts_with('{') {
                true => Segment::Parameter,
                false => Segment::Literal(part.to_owned()),
            })
            .collect();
        let alike = self.0.entry((method, segments.len())).or_default();
        alike.push((segments, policy));
        alike.sort_by(|(one, _), (other, _)| one.cmp(other));
    }

    /// The policy of an operation; `None` if there is no such operation.
    pub fn find(&self, method: &Method, path: &str) -> Option<&Policy> {
        let sent: Vec<&str> = parts(path).collect();
        let fits = |segments: &[Segment]| {
            segments.iter().zip(&sent).all(|(segment, part)| match segment {
                Segment::Literal(text) => text == part,
                Segment::Parameter => !part.is_empty(),
            })
        };
        let alike = self.0.get(&(method.clone(), sent.len()))?;
        alike.iter().find(|(segments, _)| fits(segments)).map(|(_, policy)| policy)
    }
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.trim_matches('/').split('/')
}

#[cfg(test)]
mod tests {
    use utoipa::openapi::path::{HttpMethod, OperationBuilder, PathItem};
    use utoipa::openapi::security::SecurityRequirement;
    use utoipa::openapi::{InfoBuilder, PathsBuilder};

    use super::*;

    fn document(path: &str, security: &[SecurityRequirement]) -> OpenApi {
        let operation = OperationBuilder::new().securities(Some(security.to_vec())).build();
        let paths = PathsBuilder::new().path(path, PathItem::new(HttpMethod::Get, operation)).build();
        OpenApi::new(InfoBuilder::new().build(), paths)
    }

    fn requires(scheme: &str, list: &[&str]) -> SecurityRequirement {
        SecurityRequirement::new(scheme, list.iter().copied())
    }

    #[test]
    fn what_says_nothing_or_something_unknown_is_not_served() {
        let everyone = SecurityRequirement::default;
        for (security, problem) in [
            (vec![], "no policy"),
            (vec![requires(BEARER, &["owner"])], "owner"),
            (vec![requires(API_KEY, &[])], "not understood"),
            (vec![requires(API_KEY, &["ordres:read"])], "ordres:read"),
            (vec![requires("basic", &[])], "basic"),
            (vec![requires(BEARER, &[]).add(API_KEY, ["orders:read"])], "two credentials"),
        ] {
            let refused = Policies::default().add_all(&document("/orders", &security)).unwrap_err();
            assert_eq!(refused.operation, "GET /orders");
            assert!(refused.problem.contains(problem), "{refused}");
        }
        let mut policies = Policies::default();
        policies.add_all(&document("/orders", &[everyone()])).unwrap();
        assert!(policies.find(&Method::GET, "/orders").unwrap().is_for_everyone_alike());
        assert_eq!(policies.find(&Method::POST, "/orders"), None);
        assert_eq!(policies.find(&Method::GET, "/orders/7"), None);
    }

    #[test]
    fn of_two_patterns_the_more_literal_one_counts() {
        let mut policies = Policies::default();
        policies.add_all(&document("/orders/{id}", &[requires(BEARER, &[])])).unwrap();
        policies.add_all(&document("/orders/export", &[requires(BEARER, &["admin"])])).unwrap();
        let admin = |path: &str| policies.find(&Method::GET, path).unwrap().bearer.clone().unwrap().admin;
        assert!(admin("/orders/export") && !admin("/orders/7") && !admin("/orders/exports"));
        assert_eq!(policies.find(&Method::GET, "/orders/"), None);
    }
}
