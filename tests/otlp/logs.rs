//! Logs: of which trace and span they are.

use crate::{
    journey::JOURNEY,
    received::{Log, Span},
};

fn logs(message: &str) -> Vec<&'static Log> {
    let logs = JOURNEY.received.logs.iter();
    logs.filter(|log| log.message == message).collect()
}

#[track_caller]
fn assert_in(log: &Log, span: &Span) {
    let (of_log, of_span) = ((&log.trace, &log.span), (&span.trace, &span.id));
    assert_eq!(of_log, of_span, "{log:?} in `{}`", span.name);
}

#[test]
fn what_a_handler_logs_is_of_its_attempt_in_the_trace_of_the_request() {
    let journey = &*JOURNEY;
    let logs_of_attempts = logs("no stock");
    let attempts = journey.spans(&format!("process {}", journey.topic));
    assert_eq!((logs_of_attempts.len(), attempts.len()), (2, 2));
    for (index, (log, span)) in logs_of_attempts.into_iter().zip(attempts).enumerate() {
        assert_in(log, span);
        assert_eq!(log.trace, journey.trace);
        assert_eq!(
            (log.level.as_str(), log.target.as_str()),
            ("WARN", "otlp::journey")
        );
        assert_eq!(log.attributes["attempt"], (index + 1).to_string());
    }
    let looked_after = logs("looked after");
    assert_eq!(looked_after.len(), 1);
    assert_in(
        looked_after[0],
        journey.span(&format!("process {}", journey.dead)),
    );
    assert_in(logs("answered")[0], journey.span("POST /orders"));
}

#[test]
fn what_the_crate_logs_is_of_the_record_too() {
    let journey = &*JOURNEY;
    let moved = logs("a record was dead-lettered");
    assert_eq!(moved.len(), 1);
    assert!(moved[0].target.starts_with("kafka_tower"), "{:?}", moved[0]);
    assert_in(
        moved[0],
        journey.spans(&format!("process {}", journey.topic))[1],
    );
    // What is nobody's record is in no trace.
    assert!(logs("assigned").iter().all(|log| log.trace.is_empty()));
}
