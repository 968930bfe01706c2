//! Destructors that panic: the user's code, like the calls themselves.

use std::{
    future::{Ready, pending, ready},
    task::{Context, Poll},
    time::Duration,
};

use kafka_tower::{BoxError, ConsumerRecord, OnUnhandled, ServeError, Undone};
use tokio::task::yield_now;
use tower::Service;

use crate::{
    bed::{Bed, Calls, Running},
    capture::logs,
    support::run,
};

/// Panics when it is dropped.
#[derive(Clone)]
struct Panics;

impl Drop for Panics {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "dropped");
    }
}

#[test]
fn a_call_that_panics_while_it_is_dropped_has_failed() {
    for spawn in [false, true] {
        for pends in [false, true] {
            run(async {
                let bed = Bed::new(1).await;
                bed.fill(5).await;
                let calls = Calls::default();
                let service = calls.service(move |record| {
                    let panics = (record.offset() == 2).then(|| Panics);
                    async move {
                        if pends {
                            yield_now().await;
                        }
                        drop(panics);
                        Ok(())
                    }
                });
                let settings = bed.settings().spawn_handlers(spawn);
                let running = Running::start_with(settings, service, |serve| {
                    serve.on_unhandled(OnUnhandled::Skip)
                });
                calls.reach(5).await;
                let summary = running.stop().await;
                assert_eq!((summary.acked, summary.skipped), (4, 1));
                assert_eq!(bed.committed().await, bed.all_at(5));
            });
        }
    }
}

#[test]
fn a_call_that_panics_while_it_is_cut_off_is_cut_off() {
    for spawn in [false, true] {
        run(async {
            let bed = Bed::new(1).await;
            bed.fill(5).await;
            let calls = Calls::default();
            let service = calls.service(|record| {
                let panics = (record.offset() == 2).then(|| Panics);
                async move {
                    if panics.is_some() {
                        pending::<()>().await;
                    }
                    Ok(())
                }
            });
            let settings = bed.settings().spawn_handlers(spawn);
            let settings = settings.drain_timeout(Duration::from_millis(50));
            let running = Running::start(settings, service);
            calls.reach(3).await;
            running.runs(0).await;
            let summary = running.stop().await;
            assert_eq!(
                summary.undone,
                [(bed.topic.clone(), 0, 2, Undone::Cancelled)]
            );
            assert_eq!(bed.committed().await, bed.all_at(2));
        });
    }
}

/// Acks; each clone panics when it is dropped.
#[derive(Clone)]
struct Brittle(Calls, #[allow(dead_code, reason = "it is dropped")] Panics);

impl Service<ConsumerRecord> for Brittle {
    type Response = ();
    type Error = BoxError;
    type Future = Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, record: ConsumerRecord) -> Self::Future {
        self.0.note(&record);
        ready(Ok(()))
    }
}

#[test]
fn services_that_panic_while_they_are_dropped_end_in_order() {
    run(async {
        let bed = Bed::new(3).await;
        bed.fill(5).await;
        let calls = Calls::default();
        let running = bed.serve(Brittle(calls.clone(), Panics));
        calls.reach(15).await;
        // Dropped with its lane, in the middle of the work.
        let sought = running.handle.seek(&bed.topic, 0, 3).await;
        sought.expect("it is assigned");
        calls.reach(17).await;
        let summary = running.stop().await;
        assert_eq!((summary.acked, summary.undone.len()), (17, 0));
        assert_eq!(bed.committed().await, bed.all_at(5));
    });
}

/// An error that can't be shown, nor dropped.
#[derive(Debug)]
struct Unspeakable(#[allow(dead_code, reason = "it is dropped")] Option<Panics>);

impl std::fmt::Debug for Panics {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("shown")
    }
}

impl std::fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("shown")
    }
}

impl std::error::Error for Unspeakable {}

#[test]
fn an_error_that_panics_while_it_is_shown_or_dropped_is_a_failure_like_others() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(5).await;
        let calls = Calls::default();
        let service = calls.service(|record| {
            ready(match record.offset() {
                2 => Err(Unspeakable(Some(Panics)).into()),
                _ => Ok(()),
            })
        });
        let running = Running::start_with(bed.settings(), service, |serve| {
            serve.on_unhandled(OnUnhandled::Skip)
        });
        calls.reach(5).await;
        let summary = running.stop().await;
        assert_eq!((summary.acked, summary.skipped), (4, 1));
        assert_eq!(bed.committed().await, bed.all_at(5));
    });
}

#[test]
fn an_error_that_panics_while_it_is_shown_ends_the_consumer_as_others_do() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(5).await;
        let calls = Calls::default();
        let service = calls.service(|record| {
            ready(match record.offset() {
                2 => Err(Unspeakable(None).into()),
                _ => Ok(()),
            })
        });
        let error = bed.serve(service).end().await.expect_err("a failure");
        let ServeError::Unhandled {
            offset: 2, summary, ..
        } = error
        else {
            panic!("another error");
        };
        assert_eq!(summary.acked, 2);
        assert_eq!(bed.committed().await, bed.all_at(2));
    });
}

/// Ends with an error that can't be shown.
#[derive(Clone)]
struct Ended;

impl Service<ConsumerRecord> for Ended {
    type Response = ();
    type Error = BoxError;
    type Future = Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Err(Unspeakable(None).into()))
    }

    fn call(&mut self, _: ConsumerRecord) -> Self::Future {
        unreachable!("it is never ready")
    }
}

#[test]
fn a_service_that_ends_with_such_an_error_ends_the_consumer_as_others_do() {
    run(async {
        // It is shown only where somebody looks.
        let logs = logs();
        let bed = Bed::new(1).await;
        bed.fill(1).await;
        let error = bed.serve(Ended).end().await.expect_err("it ended");
        let ended = matches!(error, ServeError::ServiceEnded { offset: 0, .. });
        // Its source can't be shown.
        assert!(ended, "{error}");
        logs.line(&["ERROR", "the error panicked while it was shown"])
            .await;
    });
}
