//! What was received, for people.

use crate::received::{Received, Span};

/// A trace as a tree, the metrics by their names, and the logs of the trace.
pub(crate) fn print(received: &Received, trace: &str) {
    println!("\ntrace {trace}");
    let mut spans: Vec<_> = received.spans.iter().collect();
    spans.retain(|span| span.trace == trace);
    spans.sort_by_key(|span| span.start);
    below("", &spans, 1);

    println!("\nmetrics");
    for (name, metric) in &received.metrics {
        let sum: f64 = metric.points.values().sum();
        println!("  {name:<44}{:<10}{:<13}{sum}", metric.kind, metric.unit);
    }

    println!("\nlogs of this trace");
    let mut logs: Vec<_> = received.logs.iter().collect();
    logs.retain(|log| log.trace == trace);
    logs.sort_by_key(|log| log.time);
    for log in logs {
        let span = spans.iter().find(|span| span.id == log.span);
        let span = span.map_or("?", |span| &span.name);
        println!("  {:<6}{:<36} in `{span}`", log.level, log.message);
    }
}

fn below(parent: &str, spans: &[&Span], depth: usize) {
    for span in spans.iter().filter(|span| span.parent == parent) {
        let told = |name| span.attributes.get(name).map_or("", String::as_str);
        println!(
            "{:indent$}{:<9}{}  {} {}",
            "",
            span.kind,
            span.name,
            told("kafka_tower.attempt"),
            told("kafka_tower.outcome"),
            indent = 2 * depth,
        );
        below(&span.id, spans, depth + 1);
    }
}
