//! What a token may be used for: `acl.paths`, as the product's tokens have it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// The paths that a token may be used for.
#[derive(Debug, Deserialize)]
pub(crate) struct Acl {
    paths: BTreeMap<String, Rule>,
}

/// What may be done at a path.
#[derive(Debug, Deserialize)]
struct Rule {
    /// None for every method.
    methods: Option<Vec<String>>,
    /// Further restrictions (`filters`); none is honoured, so that a rule with one allows nothing.
    #[serde(flatten)]
    further: Map<String, Value>,
}

impl Acl {
    /// Whether a method may be used on a path.
    pub(crate) fn covers(&self, method: &str, path: &str) -> bool {
        self.paths.iter().any(|(pattern, rule)| {
            let methods = rule.methods.as_ref();
            rule.further.is_empty()
                && methods.is_none_or(|all| all.iter().any(|one| one.eq_ignore_ascii_case(method)))
                && matches(pattern, path)
        })
    }
}

/// `*` stands for one segment, `**` for any number of them, none included.
fn matches(pattern: &str, path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    // Whether the pattern so far stands for the first n segments.
    let mut reached = vec![false; segments.len() + 1];
    reached[0] = true;
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        if part == "**" {
            let first = reached.iter().position(|is| *is).unwrap_or(reached.len());
            reached[first..].fill(true);
            continue;
        }
        for n in (0..segments.len()).rev() {
            reached[n + 1] = reached[n] && (part == "*" || part == segments[n]);
        }
        reached[0] = false;
    }
    reached[segments.len()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stars_stand_for_segments() {
        for (pattern, path, expected) in [
            ("/*/conversations/**", "/beta/conversations", true),
            ("/*/conversations/**", "/v1/conversations/CON-1/members/MEM-1", true),
            ("/*/conversations/**", "/v1/users", false),
            ("/*/users/*", "/v1/users", false),
            ("/*/users/*", "/v1/users/USR-1", true),
            ("/*/users/*", "/v1/users/USR-1/more", false),
            ("/**", "/v1/legs", true),
            ("/**/events", "/v1/conversations/CON-1/events", true),
            ("/**/events", "/v1/conversations/CON-1/events/1", false),
            ("/**/**/**/legs", "/v1/legs", true),
            ("", "/v1/legs", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_rule_that_is_not_understood_allows_nothing() {
        let acl = |paths: Value| serde_json::from_value::<Acl>(json!({ "paths": paths })).unwrap();
        assert!(acl(json!({"/**": {}})).covers("DELETE", "/v1/legs/1"));
        assert!(acl(json!({"/**": {"methods": ["get"]}})).covers("GET", "/v1/legs"));
        assert!(!acl(json!({"/**": {"methods": ["GET"]}})).covers("DELETE", "/v1/legs/1"));
        assert!(!acl(json!({"/**": {"filters": {"to": "1"}}})).covers("GET", "/v1/legs"));
        assert!(!acl(json!({})).covers("GET", "/v1/legs"));
    }
}
