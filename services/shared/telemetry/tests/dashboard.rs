//! Every instrument has a panel in deploy/dashboards/sidetone.json, and nothing else has.
//!
//! `UPDATE=1 cargo test -p sidetone-telemetry --test dashboard` writes the dashboard anew.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::{Value, json};
use sidetone_telemetry::Telemetry;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../deploy/dashboards/sidetone.json");
const PANELS_A_ROW: usize = 3;

/// Name, help and kind of every instrument, by group.
fn instruments() -> Vec<(String, String, &'static str)> {
    let telemetry = Telemetry::new().unwrap();
    let mut found: Vec<_> = telemetry
        .described()
        .into_iter()
        .map(|(name, help)| {
            let kind = if name.ends_with("_total") {
                "counter"
            } else if name.ends_with("_seconds") {
                "histogram"
            } else {
                "gauge"
            };
            (name, help, kind)
        })
        .collect();
    found.sort();
    found
}

fn unit(name: &str, kind: &str) -> &'static str {
    match kind {
        "counter" => "ops",
        "histogram" => "s",
        _ if name.ends_with("_bytes") => "bytes",
        _ if name.ends_with("_ratio") => "percentunit",
        _ => "short",
    }
}

fn queries(name: &str, kind: &str) -> Vec<Value> {
    let target = |expr: String, legend: &str| json!({ "expr": expr, "legendFormat": legend });
    match kind {
        "counter" => {
            vec![target(format!("sum without (instance, pod) (rate({name}[$__rate_interval]))"), "__auto")]
        }
        "histogram" => ["0.5", "0.99"]
            .into_iter()
            .map(|q| {
                target(
                    format!("histogram_quantile({q}, sum by (le) (rate({name}_bucket[$__rate_interval])))"),
                    q,
                )
            })
            .collect(),
        _ => vec![target(format!("sum by (pod) ({name})"), "{{pod}}")],
    }
}

fn dashboard() -> Value {
    let mut panels = Vec::new();
    let mut place = 0usize;
    let mut group = String::new();
    for (name, help, kind) in instruments() {
        let of = name.trim_start_matches("sidetone_");
        let own = ["audio", "call_control", "http", "media", "outbox", "push", "signalling", "stir", "store"]
            .into_iter()
            .find(|g| of.starts_with(g));
        let own = own.unwrap_or_else(|| panic!("{name} belongs to no group"));
        if own != group {
            group = own.to_owned();
            place = place.div_ceil(PANELS_A_ROW) * PANELS_A_ROW;
            let y = place / PANELS_A_ROW * 8;
            let title = own.replace('_', " ");
            panels.push(
                json!({ "type": "row", "title": title, "gridPos": { "x": 0, "y": y, "w": 24, "h": 1 } }),
            );
        }
        let (column, row) = (place % PANELS_A_ROW, place / PANELS_A_ROW);
        panels.push(json!({
            "type": "timeseries",
            "title": of,
            "description": help,
            "datasource": { "type": "prometheus", "uid": "${datasource}" },
            "gridPos": { "x": column * 8, "y": row * 8 + 1, "w": 8, "h": 8 },
            "fieldConfig": { "defaults": { "unit": unit(&name, kind), "min": 0 } },
            "targets": queries(&name, kind),
        }));
        place += 1;
    }
    json!({
        "title": "Sidetone",
        "uid": "sidetone",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": { "from": "now-1h", "to": "now" },
        "templating": { "list": [{ "name": "datasource", "type": "datasource", "query": "prometheus" }] },
        "panels": panels,
    })
}

#[test]
fn every_instrument_has_a_panel() {
    let made = format!("{}\n", serde_json::to_string_pretty(&dashboard()).unwrap());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(FILE, &made).unwrap();
    }
    let kept = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(kept == made, "deploy/dashboards/sidetone.json is out of date: run this test with UPDATE=1");
}

#[test]
fn alerts_ask_for_instruments_that_exist() {
    let alerts = include_str!("../../../../deploy/alerts/sidetone.yaml");
    let known: Vec<String> = instruments().into_iter().map(|(name, _, _)| name).collect();
    for word in alerts.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
        if word.starts_with("sidetone_") {
            let base = ["_bucket", "_sum"].iter().find_map(|s| word.strip_suffix(s)).unwrap_or(word);
            assert!(known.iter().any(|name| name == base || name == word), "an alert asks for {word}");
        }
    }
}
