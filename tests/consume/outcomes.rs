//! What becomes of a record decides what is committed and whether it goes on.

use std::{
    error::Error,
    fmt,
    future::{Ready, ready},
    task::{Context, Poll},
    time::Duration,
};

use kafka_tower::{
    BoxError, ConsumerRecord, Delivery, MessageId, Outcome, ServeError, StopReason, Undone,
};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::{
    bed::{Bed, Call, Calls, OpensAtTheEnd, Running, committed},
    support::run,
};

#[test]
fn ack_skip_and_moved_complete_a_record() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(6).await;
        let calls = Calls::default();
        let running = bed.serve(calls.service(async |record| {
            Ok(match record.offset() {
                0 => Outcome::Ack,
                1 | 2 => Outcome::Skip,
                _ => Delivery::new("elsewhere", 0, 0, MessageId::new()).into(),
            })
        }));
        calls.reach(6).await;
        let summary = running.stop().await;
        let counts = (summary.acked, summary.skipped, summary.moved);
        assert_eq!(counts, (1, 2, 3));
        assert_eq!(bed.committed().await, bed.all_at(6));
    });
}

#[test]
fn a_retry_is_the_next_attempt_and_a_deferral_the_same() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(2).await;
        let calls = Calls::default();
        let seen = calls.clone();
        let briefly = Duration::from_millis(5);
        let running = bed.serve(calls.service(move |_| {
            let outcome = match seen.all().len() {
                1 => Outcome::Retry {
                    after: Some(briefly),
                },
                2 | 3 => Outcome::Defer { after: briefly },
                4 => Outcome::Retry { after: None },
                _ => Outcome::Ack,
            };
            async { Ok(outcome) }
        }));
        calls.reach(6).await;
        let summary = running.stop().await;
        let call = |offset, attempt| Call {
            partition: 0,
            offset,
            attempt,
        };
        let expected = [(0, 1), (0, 2), (0, 2), (0, 2), (0, 3), (1, 1)];
        assert_eq!(calls.all(), expected.map(|(at, nth)| call(at, nth)));
        assert_eq!(
            (summary.acked, summary.retried, summary.deferred),
            (2, 2, 2)
        );
        assert_eq!(bed.committed().await, bed.all_at(2));
    });
}

#[derive(Debug)]
struct OutOfStock(u32);

impl fmt::Display for OutOfStock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} missing", self.0)
    }
}

impl Error for OutOfStock {}

#[test]
fn an_error_stops_everything_and_says_where() {
    run(async {
        let bed = Bed::new(2).await;
        bed.fill(10).await;
        let calls = Calls::default();
        let (busy, stops) = (CancellationToken::new(), CancellationToken::new());
        let opens = OpensAtTheEnd(stops.clone());
        let service = calls.service(move |record| {
            let (busy, stops) = (busy.clone(), stops.clone());
            async move {
                match (record.partition(), record.offset()) {
                    (0, 2) => {
                        // Still running when the other partition fails.
                        busy.cancel();
                        stops.cancelled().await;
                        Ok(())
                    }
                    (1, 4) => {
                        busy.cancelled().await;
                        Err(OutOfStock(7).into())
                    }
                    _ => Ok(()),
                }
            }
        });
        let running =
            Running::start_with(bed.settings(), service, |serve| serve.with_lifecycle(opens));
        let error = running.end().await.expect_err("a failure");
        let ServeError::Unhandled {
            topic,
            partition,
            offset,
            source,
            summary,
            ..
        } = &error
        else {
            panic!("{error:?}");
        };
        assert_eq!((topic, *partition, *offset), (&bed.topic, 1, 4));
        assert!(
            source
                .downcast_ref::<OutOfStock>()
                .is_some_and(|error| error.0 == 7)
        );
        assert_eq!(summary.undone, [(bed.topic.clone(), 1, 4, Undone::Failed)]);
        assert_eq!(summary.stop, None);

        let shown = error.to_string();
        let place = format!("topic `{}` partition 1 offset 4", bed.topic);
        assert!(shown.contains(&place), "{shown}");
        let source = error.source().expect("a source");
        assert!(source.downcast_ref::<OutOfStock>().is_some(), "{source}");

        // The other partition was drained, and begun with nothing new.
        assert_eq!(calls.offsets(0), [0, 1, 2]);
        assert_eq!(calls.offsets(1), [0, 1, 2, 3, 4]);
        let expected = [(0, 3), (1, 4)].into();
        assert_eq!(committed(summary), expected);
        assert_eq!(bed.committed().await, expected);
    });
}

/// Serves until offset 3 fails, and checks that just those before it are committed and that the
/// next consumer begins with it. Gives the message of the cause.
async fn fails_at_3(
    answer: impl Fn(ConsumerRecord) -> Answer + Clone + Send + Sync + 'static,
) -> String {
    let bed = Bed::for_several(1).await;
    bed.fill(6).await;
    let calls = Calls::default();
    let running = bed.serve(calls.service(answer));
    let error = running.end().await.expect_err("a failure");
    let ServeError::Unhandled {
        offset: 3, source, ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(bed.committed().await, bed.all_at(3));

    let next = Calls::default();
    let running = bed.serve(next.acking());
    next.reach(3).await;
    running.stop().await;
    assert_eq!(next.offsets(0), [3, 4, 5]);
    source.to_string()
}

type Answer = Ready<Result<Outcome, BoxError>>;

#[test]
fn a_dead_letter_that_no_layer_moves_is_a_failure() {
    run(async {
        let cause = fails_at_3(|record| {
            ready(Ok(match record.offset() {
                3 => Outcome::DeadLetter {
                    reason: "no such customer".into(),
                },
                _ => Outcome::Ack,
            }))
        });
        let cause = cause.await;
        assert!(cause.contains("no dead-letter layer"), "{cause}");
        assert!(cause.contains("no such customer"), "{cause}");
    });
}

#[test]
fn a_panic_in_call_is_the_records_failure() {
    run(async {
        let cause = fails_at_3(|record| {
            assert!(record.offset() != 3, "in the {}", "call");
            ready(Ok(Outcome::Ack))
        });
        assert_eq!(cause.await, "the service panicked: in the call");
    });
}

#[test]
fn a_panic_in_the_future_is_the_records_failure() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(6).await;
        let calls = Calls::default();
        let running = bed.serve(calls.service(async |record| {
            assert!(record.offset() != 3, "in the future");
            Ok(())
        }));
        let error = running.end().await.expect_err("a failure");
        let cause = error.source().expect("a source").to_string();
        assert_eq!(cause, "the service panicked: in the future");
        assert_eq!(bed.committed().await, bed.all_at(3));
    });
}

/// Is ready three times, and then what it is told to be.
#[derive(Clone)]
struct Exhausted {
    calls: i64,
    then: fn() -> Poll<Result<(), BoxError>>,
}

impl Service<ConsumerRecord> for Exhausted {
    type Response = ();
    type Error = BoxError;
    type Future = Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self.calls {
            3 => (self.then)(),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, record: ConsumerRecord) -> Self::Future {
        assert_eq!(record.offset(), self.calls);
        self.calls += 1;
        ready(Ok(()))
    }
}

#[test]
fn a_panic_in_poll_ready_is_the_records_failure() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(6).await;
        let then = || panic!("while getting ready");
        let error = bed.serve(Exhausted { calls: 0, then }).end().await;
        let error = error.expect_err("a failure");
        assert!(
            matches!(error, ServeError::Unhandled { offset: 3, .. }),
            "{error:?}"
        );
        let cause = error.source().expect("a source").to_string();
        assert_eq!(cause, "the service panicked: while getting ready");
        assert_eq!(bed.committed().await, bed.all_at(3));
    });
}

#[test]
fn a_service_that_can_not_be_called_again_ends_the_consumer() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(6).await;
        let then = || Poll::Ready(Err("closed".into()));
        let error = bed.serve(Exhausted { calls: 0, then }).end().await;
        let error = error.expect_err("a failure");
        assert!(
            matches!(
                error,
                ServeError::ServiceEnded {
                    offset: 3,
                    partition: 0,
                    ..
                }
            ),
            "{error:?}"
        );
        assert_eq!(error.source().expect("a source").to_string(), "closed");
        assert_eq!(bed.committed().await, bed.all_at(3));
    });
}

#[test]
fn a_service_may_stop_everything() {
    run(async {
        let bed = Bed::for_several(1).await;
        bed.fill(6).await;
        for expected in 3..5 {
            let calls = Calls::default();
            let running = bed.serve(calls.service(move |record| {
                ready(Ok(match record.offset() == expected {
                    true => Outcome::Stop,
                    false => Outcome::Ack,
                }))
            }));
            let summary = running.end().await.expect("a stop is no error");
            let reason = StopReason::Requested {
                topic: bed.topic.clone(),
                partition: 0,
                offset: expected,
            };
            assert_eq!(summary.stop, Some(reason));
            let undone = (bed.topic.clone(), 0, expected, Undone::Stopped);
            assert_eq!(summary.undone, [undone]);
            assert_eq!(bed.committed().await, bed.all_at(expected));
            // The second begins with the record that stopped the first.
            let begun = if expected == 3 { 0 } else { 3 };
            assert_eq!(calls.offsets(0), Vec::from_iter(begun..=expected));
        }
    });
}
