//! What `docs/observability.md` says of metrics, and of setting up, is what is done here.

use std::collections::BTreeMap;

use crate::journey::JOURNEY;

const DOCUMENT: &str = include_str!("../../docs/observability.md");

/// The rows of the table of metrics: by name, instrument and unit, and Prometheus' name.
fn rows() -> BTreeMap<&'static str, (&'static str, &'static str)> {
    let rows = DOCUMENT.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, metric, instrument, _, prometheus, _] = cells[..] else {
            return None;
        };
        let bare = |cell: &'static str| cell.trim_matches('`');
        let is_metric = metric.starts_with("`messaging.") || metric.starts_with("`kafka_tower.");
        is_metric.then(|| (bare(metric), (instrument, bare(prometheus))))
    });
    rows.collect()
}

/// As OpenTelemetry says that Prometheus names it.
fn prometheus(name: &str, kind: &str, unit: &str) -> String {
    let unit = match unit {
        "s" => "_seconds",
        "By" => "_bytes",
        _ => "",
    };
    let total = if kind == "counter" { "_total" } else { "" };
    format!("{}{unit}{total}", name.replace('.', "_"))
}

#[test]
fn every_metric_has_its_row() {
    let mut rows = rows();
    for (name, metric) in &JOURNEY.received.metrics {
        let row = rows.remove(name.as_str());
        let instrument = format!("{}, `{}`", metric.kind, metric.unit);
        let prometheus = prometheus(name, metric.kind, &metric.unit);
        assert_eq!(row, Some((&*instrument, &*prometheus)), "{name}");
    }
    // What this journey has none of.
    let left: Vec<_> = rows.into_keys().collect();
    let others = [
        "kafka_tower.circuit_breaker.open_circuits",
        "kafka_tower.circuit_breaker.state",
        "kafka_tower.deferrals",
    ];
    assert_eq!(left, others);
}

#[test]
fn alerts_name_what_there_is() {
    let known: Vec<_> = rows().into_values().map(|(_, name)| name).collect();
    let (_, rules) = DOCUMENT.split_once("```yaml").expect("rules");
    let (rules, _) = rules.split_once("```").expect("their end");
    let words = rules.split(|one: char| !one.is_alphanumeric() && one != '_');
    let named = words.filter(|word| {
        let ours = ["kafka_tower_", "messaging_client_", "messaging_process_"];
        ours.iter().any(|prefix| word.starts_with(prefix))
    });
    let named: Vec<_> = named.collect();
    assert!(named.len() > 8, "{named:?}");
    for name in named {
        assert!(known.contains(&name), "{name}");
    }
}

#[test]
fn the_documented_set_up_is_the_one_that_runs_here() {
    let source = include_str!("../../examples/opentelemetry/telemetry.rs");
    let (_, code) = source.split_once("\n\n").expect("a comment");
    assert!(DOCUMENT.contains(code));
}
