//! Which methods a path has, read from the OpenAPI documents: the server cannot tell 404 from 405 by itself, because
//! every operation is a route of its own.

use utoipa::openapi::OpenApi;

/// Every path with its methods.
#[derive(Debug, Default)]
pub struct RouteTable(Vec<(Vec<Segment>, Vec<&'static str>)>);

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
        self.0.push((segments.collect(), methods));
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
        let mut methods: Vec<&'static str> = self
            .0
            .iter()
            .filter(|(segments, _)| fits(segments))
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
}
