//! A panic fails the record at hand and nothing else.

use std::{
    future::Ready,
    task::{Context, Poll},
};

use kafka_tower::{
    Backoff, BoxError, ConsumerRecord, Outcome, PanicError, Persistence, ProducerRecord, Record,
    find_error,
    layers::{CatchPanicLayer, RetryLayer},
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::{
    bed::{Bed, Calls},
    fake::{Fake, Handled, Published, delivered, order, read},
    support::run,
};

fn message<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a str {
    find_error::<PanicError>(error).expect("a panic").message()
}

#[tokio::test]
async fn a_panic_in_call_or_in_the_future_is_an_error() {
    let layer = CatchPanicLayer::new();
    let in_call = service_fn(|_: ConsumerRecord| -> Ready<Handled> { panic!("in call") });
    let error = layer.layer(in_call).oneshot(read(1)).await.unwrap_err();
    assert_eq!(message(&*error), "in call");
    let in_future = service_fn(async |_: ConsumerRecord| -> Handled { panic!("in {}", "it") });
    let error = layer.layer(in_future).oneshot(read(1)).await.unwrap_err();
    assert_eq!(message(&*error), "in it");
}

#[tokio::test]
async fn a_publish_that_panicked_gives_the_record_back_and_may_be_written() {
    let layer = CatchPanicLayer::new();
    let publisher = service_fn(async |_: ProducerRecord| -> Published { panic!("oh") });
    let error = layer.layer(publisher).oneshot(order()).await.unwrap_err();
    assert_eq!(message(&error), "oh");
    assert_eq!(error.persistence(), Persistence::PossiblyPersisted);
    assert!(error.record().is_some());
}

/// Panics once when it is asked whether it is ready.
#[derive(Clone)]
struct Unready<R: Record>(bool, Fake<R>);

impl<R: Record> Service<R> for Unready<R> {
    type Response = R::Done;
    type Error = R::Error;
    type Future = Ready<Result<R::Done, R::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), R::Error>> {
        if std::mem::take(&mut self.0) {
            panic!("unready");
        }
        self.1.poll_ready(cx)
    }

    fn call(&mut self, record: R) -> Self::Future {
        self.1.call(record)
    }
}

#[tokio::test]
async fn a_panic_in_poll_ready_fails_the_next_record_only() {
    let fake = Fake::new([delivered()]);
    let mut service = CatchPanicLayer::new().layer(Unready(true, fake.handle()));
    // A clone is another service: it has not panicked.
    service.ready().await.unwrap();
    let mut clone = service.clone();
    let error = service.call(order()).await.unwrap_err();
    assert_eq!(message(&error), "unready");
    assert_eq!(error.persistence(), Persistence::NotPersisted);
    assert!(fake.calls().is_empty());
    service.ready().await.unwrap().call(order()).await.unwrap();
    clone.get_mut().0 = false;
    clone.ready().await.unwrap();
}

#[tokio::test]
async fn what_does_not_panic_passes() {
    let fake = Fake::<ConsumerRecord>::new([Ok(Outcome::Skip), Err("no".into())]);
    let mut service = CatchPanicLayer::new().layer(fake.handle());
    let answer = service.ready().await.unwrap().call(read(1)).await;
    assert_eq!(answer.unwrap(), Outcome::Skip);
    let answer = service.ready().await.unwrap().call(read(1)).await;
    assert_eq!(answer.unwrap_err().to_string(), "no");
    fake.end();
    assert!(service.ready().await.is_err());
}

#[test]
fn a_handler_that_panics_once_is_run_again() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(3).await;
        let calls = Calls::default();
        let handler = calls.service(async |record| {
            assert!(record.attempt() > 1, "at first");
            Ok::<_, BoxError>(())
        });
        let backoff = Backoff::constant(std::time::Duration::from_millis(1));
        let stack = ServiceBuilder::new()
            .layer(RetryLayer::new(backoff))
            .layer(CatchPanicLayer::new())
            .service(handler);
        let running = bed.serve(stack);
        calls.reach(6).await;
        assert_eq!(running.stop().await.acked, 3);
        assert_eq!(bed.committed().await, bed.all_at(3));
    });
}
