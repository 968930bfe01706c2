//! What failed goes elsewhere.

use kafka_tower::{
    BoxError, Classified, ConsumerRecord, Delivery, ErrorClass, MessageId, Outcome, ProducerRecord,
    PublishError, find_error, layers::FallbackLayer,
};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::{
    bed::{Bed, Calls},
    fake::{Fake, Handled, delivered, order, read, refused},
    support::{log, run},
    topics::beside,
};

use ErrorClass::{NonRetriable, Retriable, Unavailable};

#[tokio::test]
async fn a_function_gets_the_record_and_the_error() {
    let fake = Fake::<ConsumerRecord>::new([Err("no".into()), Ok(Outcome::Skip)]);
    let layer = FallbackLayer::new(async |record: ConsumerRecord, error: BoxError| {
        assert_eq!((record.offset(), &*error.to_string()), (7, "no"));
        Ok::<_, BoxError>(())
    });
    let mut service = layer.layer(fake.handle());
    for outcome in [Outcome::Ack, Outcome::Skip] {
        let answer = service.ready().await.unwrap().call(read(1)).await;
        assert_eq!(answer.unwrap(), outcome);
    }
    fake.end();
    assert!(service.ready().await.is_err());
}

#[tokio::test]
async fn a_function_may_fail_with_the_error_that_it_was_given() {
    let fake = Fake::new([refused(NonRetriable)]);
    let layer = FallbackLayer::new(async |_: ProducerRecord, error: PublishError| {
        Err::<Delivery, _>(error)
    });
    let error = layer.layer(fake).oneshot(order()).await.unwrap_err();
    assert_eq!(error.class(), NonRetriable);
    assert!(error.record().is_some());
}

#[tokio::test]
async fn only_what_is_asked_for_falls_back() {
    let fake = Fake::new([refused(NonRetriable), refused(Unavailable)]);
    let layer = FallbackLayer::to_service(Fake::new([delivered()])).when(|error| {
        find_error(error).is_some_and(|error: &PublishError| error.class() == Unavailable)
    });
    let mut service = layer.layer(fake);
    let error = service
        .ready()
        .await
        .unwrap()
        .call(order())
        .await
        .unwrap_err();
    assert_eq!(error.class(), NonRetriable);
    service.ready().await.unwrap().call(order()).await.unwrap();
}

#[tokio::test]
async fn another_service_gets_the_record() {
    let other = Fake::<ConsumerRecord>::new([Ok(Outcome::Skip)]);
    let layer = FallbackLayer::to_service(other.handle());
    let failing = service_fn(async |_: ConsumerRecord| Handled::Err("no".into()));
    let answer = layer.layer(failing).oneshot(read(1)).await;
    assert_eq!(answer.unwrap(), Outcome::Skip);
    assert_eq!(other.calls()[0].offset(), 7);
}

#[tokio::test]
async fn when_the_fallback_fails_as_well_both_are_told() {
    let other = Fake::<ConsumerRecord>::new([Err(Classified::unavailable("down").into())]);
    let failing = service_fn(async |_: ConsumerRecord| Handled::Err("no".into()));
    let service = FallbackLayer::to_service(other).layer(failing);
    let error = service.oneshot(read(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "no, and the fallback failed as well");
    let fallback: &Classified = find_error(&*error).expect("the fallback's error");
    assert_eq!(fallback.class(), Unavailable);

    let service = FallbackLayer::to_topic(Fake::new([refused(Retriable)]), "elsewhere");
    let error = service.layer(failing).oneshot(read(1)).await.unwrap_err();
    assert!(find_error::<PublishError>(&*error).is_some());
}

#[tokio::test]
async fn another_topic_gets_a_publish() {
    let elsewhere = Delivery::new("elsewhere", 0, 1, MessageId::new());
    let other = Fake::<ProducerRecord>::new([Ok(elsewhere.clone())]);
    let layer = FallbackLayer::to_topic(other.handle(), "elsewhere");
    let failing = Fake::new([refused(NonRetriable)]);
    let delivery = layer.layer(failing).oneshot(order().header("h", "v")).await;
    assert_eq!(delivery.unwrap(), elsewhere);
    let [copy] = &other.calls()[..] else {
        panic!("one record");
    };
    assert_eq!(&*copy.topic, "elsewhere");
    assert_eq!(copy.payload.as_deref(), Some(&b"tea"[..]));
    assert_eq!(copy.headers.get("h"), Some(&b"v"[..]));
}

#[test]
fn a_consumed_record_that_fails_is_moved_to_another_topic() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(3).await;
        let calls = Calls::default();
        let handler = calls.service(async |record| match record.offset() {
            1 => Err("bad".into()),
            _ => Ok(()),
        });
        let elsewhere = beside(&bed, "-elsewhere").await;
        let layer = FallbackLayer::to_topic(bed.publisher.clone(), elsewhere.as_str());
        let running = bed.serve(layer.layer(handler));
        calls.reach(3).await;
        let summary = running.stop().await;
        assert_eq!((summary.acked, summary.moved), (2, 1));
        assert_eq!(bed.committed().await, bed.all_at(3));
        let moved = log(bed.brokers(), &elsewhere).await;
        let texts: Vec<_> = moved.iter().map(|record| record.text()).collect();
        assert_eq!(texts, ["1"]);
    });
}
