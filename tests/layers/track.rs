//! Who is told what of a publish.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use kafka_tower::{
    Delivery, ErrorClass, MessageId, ProducerRecord, PublishError, PublishExt,
    layers::{
        DeadLetter, RetryLayer, TrackLayer,
        track::{DeliveryContext, DeliveryHooks, DeliveryStatus, DeliveryTracker},
    },
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::{
    bed::Bed,
    fake::{Fake, delivered, order, refused},
    support::{log, run},
};

use ErrorClass::{NonRetriable, Retriable};

/// Writes down what it is told.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

#[derive(Clone)]
struct Customer(u32);

impl Notes {
    fn note(&self, context: &DeliveryContext<'_>, what: &str) {
        let customer = context
            .record
            .extensions
            .get()
            .map_or(0, |Customer(id)| *id);
        let (id, attempt) = (context.message_id, context.attempt);
        let line = format!("{id} of {customer}, attempt {attempt}: {what}");
        self.0.lock().unwrap().push(line);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl DeliveryHooks for Notes {
    fn on_success(&self, context: &DeliveryContext<'_>, delivery: &Delivery) {
        self.note(context, &format!("delivered at {:?}", delivery.offset));
    }

    fn on_failure(&self, context: &DeliveryContext<'_>, error: &PublishError) {
        let dead = error.dead_letter().map_or("", |_| ", dead-lettered");
        self.note(context, &format!("failed, {}{dead}", error.class()));
    }

    fn on_retry_scheduled(&self, context: &DeliveryContext<'_>, after: Duration) {
        self.note(context, &format!("in {after:?}"));
    }
}

fn record() -> ProducerRecord {
    order().message_id("m").extension(Customer(7))
}

#[tokio::test(start_paused = true)]
async fn hooks_are_told_of_retries_and_the_result() {
    let notes = Arc::new(Notes::default());
    let fake = Fake::new([
        refused(Retriable),
        refused(Retriable),
        delivered(),
        refused(Retriable),
        refused(NonRetriable),
    ]);
    let mut service = ServiceBuilder::new()
        .layer(TrackLayer::new(Arc::clone(&notes)))
        .layer(RetryLayer::default())
        .service(fake.handle());
    service.ready().await.unwrap().call(record()).await.unwrap();
    let error = service
        .ready()
        .await
        .unwrap()
        .call(record())
        .await
        .unwrap_err();
    assert!(error.record().is_some());
    assert_eq!(
        notes.all(),
        [
            "m of 7, attempt 2: in 1s",
            "m of 7, attempt 3: in 2s",
            "m of 7, attempt 3: delivered at Some(7)",
            "m of 7, attempt 2: in 1s",
            "m of 7, attempt 2: failed, non-retriable",
        ]
    );
    fake.end();
    assert!(service.ready().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn inside_of_retry_each_attempt_is_a_record_of_its_own() {
    let notes = Arc::new(Notes::default());
    let stack = ServiceBuilder::new()
        .layer(RetryLayer::default())
        .layer(TrackLayer::new(Arc::clone(&notes)))
        .service(Fake::new([refused(Retriable), delivered()]));
    stack.oneshot(record()).await.unwrap();
    assert_eq!(
        notes.all(),
        [
            "m of 7, attempt 1: failed, retriable",
            "m of 7, attempt 1: delivered at Some(7)",
        ]
    );
}

#[tokio::test]
async fn a_dead_letter_is_a_failure_that_says_so() {
    let notes = Arc::new(Notes::default());
    let stack = ServiceBuilder::new()
        .layer(TrackLayer::new(Arc::clone(&notes)))
        .layer(DeadLetter::to(Fake::new([delivered()])))
        .service(Fake::new([refused(NonRetriable)]));
    stack.oneshot(record()).await.unwrap_err();
    assert_eq!(
        notes.all(),
        ["m of 7, attempt 1: failed, non-retriable, dead-lettered"]
    );
}

#[tokio::test]
async fn a_record_without_an_id_is_given_one() {
    let fake = Fake::new([delivered(), refused(NonRetriable)]);
    let mut service = TrackLayer::new(()).layer(fake.handle());
    service.ready().await.unwrap().call(order()).await.unwrap();
    assert!(fake.calls()[0].message_id.is_some());
    let error = service
        .ready()
        .await
        .unwrap()
        .call(order())
        .await
        .unwrap_err();
    let id = error.record().unwrap().message_id.clone();
    assert_eq!(id, fake.calls()[1].message_id);
}

#[tokio::test(start_paused = true)]
async fn a_tracker_shows_the_status_of_its_record() {
    let (release, wait) = tokio::sync::oneshot::channel::<()>();
    let wait = Arc::new(Mutex::new(Some(wait)));
    let publisher = service_fn(move |record: ProducerRecord| {
        let wait = wait.lock().unwrap().take();
        async move {
            match wait {
                Some(wait) => {
                    wait.await.expect("a sender");
                    refused(Retriable)
                }
                None => Ok(Delivery::new(record.topic, 0, 7, MessageId::from("m"))),
            }
        }
    });
    let stack = ServiceBuilder::new()
        .layer(TrackLayer::new(()))
        .layer(RetryLayer::default())
        .service(publisher);
    let tracker = DeliveryTracker::new();
    let record = record().extension(tracker.clone());
    let publish = tokio::spawn(stack.oneshot(record));
    let mut changes = tracker.subscribe();
    assert_eq!(*changes.borrow_and_update(), DeliveryStatus::Pending);
    release.send(()).unwrap();
    changes.changed().await.unwrap();
    let after = Duration::from_secs(1);
    let scheduled = DeliveryStatus::RetryScheduled { attempt: 2, after };
    assert_eq!(*changes.borrow_and_update(), scheduled);
    let DeliveryStatus::Delivered(delivery) = tracker.settled().await else {
        panic!("{tracker:?}");
    };
    assert_eq!(publish.await.unwrap().unwrap(), delivery);

    let tracker = DeliveryTracker::default();
    let service = TrackLayer::new(()).layer(Fake::new([refused(NonRetriable)]));
    let record = order().extension(tracker.clone());
    service.oneshot(record).await.unwrap_err();
    assert_eq!(tracker.settled().await, DeliveryStatus::Failed);
}

/// Panics whenever it is told anything.
struct Nervous;

impl DeliveryHooks for Nervous {
    fn on_success(&self, _: &DeliveryContext<'_>, _: &Delivery) {
        panic!("delivered");
    }

    fn on_failure(&self, _: &DeliveryContext<'_>, _: &PublishError) {
        panic!("failed");
    }

    fn on_retry_scheduled(&self, _: &DeliveryContext<'_>, _: Duration) {
        panic!("again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_harms_nobody() {
    let answers = [refused(Retriable), delivered(), refused(NonRetriable)];
    let mut service = ServiceBuilder::new()
        .layer(TrackLayer::new(Nervous))
        .layer(RetryLayer::default())
        .service(Fake::new(answers));
    let tracker = DeliveryTracker::new();
    let record = record().extension(tracker.clone());
    let delivery = service.ready().await.unwrap().call(record).await.unwrap();
    assert_eq!(delivery.attempts, 2);
    assert_eq!(tracker.status(), DeliveryStatus::Delivered(delivery));
    let error = service
        .ready()
        .await
        .unwrap()
        .call(order())
        .await
        .unwrap_err();
    assert_eq!(error.class(), NonRetriable);
}

#[test]
fn the_callers_metadata_is_not_sent() {
    run(async {
        let bed = Bed::new(1).await;
        let notes = Arc::new(Notes::default());
        let publisher = TrackLayer::new(Arc::clone(&notes)).layer(bed.publisher.clone());
        let record = ProducerRecord::to(bed.topic.as_str()).payload("tea");
        let record = record.message_id("m").extension(Customer(7));
        publisher.send(record).await.unwrap();
        assert_eq!(notes.all(), ["m of 7, attempt 1: delivered at Some(0)"]);
        let [stored] = &log(bed.brokers(), &bed.topic).await[..] else {
            panic!("one record");
        };
        assert_eq!((stored.text(), stored.headers.len()), ("tea", 0));
    });
}
