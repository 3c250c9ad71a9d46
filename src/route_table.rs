//! Which methods a path has, read from the OpenAPI documents: the server cannot tell 404 from 405 by itself, because
//! every operation is a route of its own.

use utoipa::openapi::OpenApi;

use std::collections::BTreeMap;

/// Every path with its methods.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<(Vec<Segment>, Vec<&'static str>)>,
    /// Those without parameters.
    literal: BTreeMap<String, Vec<&'static str>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Parameter,
}

impl RouteTable {
    /// Adds the routes of a document.
    pub fn add_all(&mut self, document: &OpenApi) {
        for (path, item) in &document.paths.paths {
            let methods = [
                ("DELETE", item.delete.is_some()),
                ("GET", item.get.is_some()),
                ("HEAD", item.get.is_some()),
                ("PATCH", item.patch.is_some()),
                ("POST", item.post.is_some()),
                ("PUT", item.put.is_some()),
            ];
            self.add(path, methods.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect());
        }
    }

    /// Adds a path that has no document.
    pub fn add(&mut self, path: &str, methods: Vec<&'static str>) {
        let segments = path.trim_matches('/').split('/').map(|part| {
            if part.starts_with('{') { Segment::Parameter } else { Segment::Literal(part.to_owned()) }
        });
        if !path.contains('{') {
            let known = self.literal.entry(path.to_owned()).or_default();
            known.extend(&methods);
            known.sort_unstable();
            known.dedup();
        }
        self.routes.push((segments.collect(), methods));
    }

    /// The methods of a path without parameters, if it lacks this one. The router would go on to a path whose parameter takes
    /// the word: `PATCH /users/import` would look for the user `import`.
    pub fn refused(&self, method: &str, path: &str) -> Option<&[&'static str]> {
        let methods = self.literal.get(path)?;
        (!methods.contains(&method)).then_some(methods)
    }

    /// The methods of a path; none if there is no such path. A path with fewer parameters wins, as in routing.
    pub fn methods_of(&self, path: &str) -> Vec<&'static str> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let fits = |segments: &[Segment]| {
            segments.len() == parts.len()
                && segments.iter().zip(&parts).all(|(segment, part)| match segment {
                    Segment::Literal(text) => text == part,
                    Segment::Parameter => !part.is_empty(),
                })
        };
        let parameters =
            |segments: &[Segment]| segments.iter().filter(|segment| **segment == Segment::Parameter).count();
        let fitting = || self.routes.iter().filter(|(segments, _)| fits(segments));
        let fewest = fitting().map(|(segments, _)| parameters(segments)).min();
        let mut methods: Vec<&'static str> = fitting()
            .filter(|(segments, _)| Some(parameters(segments)) == fewest)
            .flat_map(|(_, methods)| methods.clone())
            .collect();
        methods.sort_unstable();
        methods.dedup();
        methods
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_by_its_pattern() {
        let mut table = RouteTable::default();
        table.add("/orders", vec!["GET", "POST"]);
        table.add("/orders/{id}/cancel", vec!["POST"]);
        assert_eq!(table.methods_of("/orders"), vec!["GET", "POST"]);
        assert_eq!(table.methods_of("/orders/7/cancel"), vec!["POST"]);
        assert!(table.methods_of("/orders/7").is_empty() && table.methods_of("/").is_empty());
    }

    #[test]
    fn a_word_of_its_own_is_no_parameter() {
        let mut table = RouteTable::default();
        table.add("/users/{id}", vec!["GET", "PATCH"]);
        table.add("/users/export", vec!["GET"]);
        table.add("/users/export", vec!["HEAD"]);
        assert_eq!(table.methods_of("/users/export"), vec!["GET", "HEAD"]);
        assert_eq!(table.refused("PATCH", "/users/export"), Some(["GET", "HEAD"].as_slice()));
        assert_eq!(table.refused("GET", "/users/export"), None);
        assert_eq!(table.refused("PATCH", "/users/7"), None);
    }
}
