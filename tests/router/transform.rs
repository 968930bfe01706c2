//! Handlers whose records are published before the offset of their source is committed.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use futures_util::FutureExt;
use kafka_tower::{
    BoxError, Classifier, Classify, ConsumerRecord, Delivery, ErrorClass, MessageId, Outcome,
    Persistence, ProducerRecord, PublishError, Router, ServeError, Topic,
    extract::Payload,
    router::{Handler, IntoRecords, transform},
};
use tokio::sync::Semaphore;
use tower::{ServiceBuilder, service_fn};

use crate::{
    answer,
    bed::Bed,
    support::{log, run},
    topics::beside,
};

/// A publisher that keeps its records, and acknowledges each when it is let.
#[derive(Clone)]
struct Fake {
    seen: Arc<Mutex<Vec<String>>>,
    permits: Arc<Semaphore>,
}

impl Fake {
    fn new(permits: usize) -> Self {
        Self {
            seen: Arc::default(),
            permits: Arc::new(Semaphore::new(permits)),
        }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// It refuses records for the topic `refused` at once.
    fn service(
        &self,
    ) -> impl tower::Service<
        ProducerRecord,
        Response = Delivery,
        Error = PublishError,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static {
        let fake = self.clone();
        service_fn(move |record: ProducerRecord| {
            let fake = fake.clone();
            fake.seen.lock().unwrap().push(record.topic.to_string());
            async move {
                if &*record.topic == "refused" {
                    let class = ErrorClass::NonRetriable;
                    return Err(PublishError::new(class, Persistence::NotPersisted, "no"));
                }
                fake.permits.acquire().await.unwrap().forget();
                Ok(Delivery::new("a", 0, 7, MessageId::from("1")))
            }
        })
    }
}

fn record() -> ConsumerRecord {
    ConsumerRecord::builder("in", 0, 0).payload("1 2").build()
}

fn to(topics: &[&str]) -> Vec<ProducerRecord> {
    topics
        .iter()
        .map(|topic| ProducerRecord::to(*topic))
        .collect()
}

async fn transformed<H, T>(fake: &Fake, handler: H) -> Result<Outcome, BoxError>
where
    H: Handler<T, (), Output: IntoRecords>,
    T: 'static,
{
    let handler = transform(fake.service(), handler);
    answer(Router::new().topic("in", handler), record()).await
}

async fn done<H, T>(fake: &Fake, handler: H)
where
    H: Handler<T, (), Output: IntoRecords>,
    T: 'static,
{
    assert_eq!(transformed(fake, handler).await.unwrap(), Outcome::Ack);
}

#[tokio::test]
async fn what_the_function_may_return() {
    let fake = Fake::new(100);
    let one = || ProducerRecord::to("one");
    done(&fake, async || {}).await;
    done(&fake, async move || one()).await;
    done(&fake, async move || Some(one())).await;
    done(&fake, async || None::<ProducerRecord>).await;
    done(&fake, async || to(&["a", "b"])).await;
    done(&fake, async move || [one(), one()]).await;
    done(&fake, async move || Ok::<_, Infallible>(one())).await;
    let of_payload = async |Payload(text): Payload<String>| {
        let words = text.split(' ').map(ProducerRecord::to);
        words.collect::<Vec<_>>()
    };
    assert_eq!(transformed(&fake, of_payload).await.unwrap(), Outcome::Ack);
    let expected = ["one", "one", "a", "b", "one", "one", "one", "1", "2"];
    assert_eq!(fake.seen(), expected);

    let error = transformed(&fake, async || Err::<ProducerRecord, _>("no")).await;
    assert_eq!(error.unwrap_err().to_string(), "no");
    assert_eq!(fake.seen().len(), expected.len());
}

#[tokio::test]
async fn it_is_complete_when_all_are_acknowledged() {
    let fake = Fake::new(0);
    let mut answered = Box::pin(transformed(&fake, async || to(&["a", "b", "c"])));
    assert!(answered.as_mut().now_or_never().is_none());
    // Side by side.
    assert_eq!(fake.seen(), ["a", "b", "c"]);
    fake.permits.add_permits(2);
    assert!(answered.as_mut().now_or_never().is_none());
    fake.permits.add_permits(1);
    assert_eq!(answered.await.unwrap(), Outcome::Ack);
}

#[tokio::test]
async fn after_a_failure_what_was_begun_is_waited_for() {
    let fake = Fake::new(0);
    let topics = async || to(&["a", "refused", "c"]);
    let mut answered = Box::pin(transformed(&fake, topics));
    assert!(answered.as_mut().now_or_never().is_none());
    // One more than is wanted, for a third that must not begin.
    fake.permits.add_permits(2);
    let error = answered.await.unwrap_err();
    assert_eq!(
        Classifier::new().classify(&*error),
        ErrorClass::NonRetriable
    );
    assert_eq!(fake.seen(), ["a", "refused"]);
}

#[tokio::test]
async fn a_stack_with_room_for_one_publishes_one_after_the_other_and_stops_at_a_failure() {
    let fake = Fake::new(100);
    let stack = ServiceBuilder::new()
        .concurrency_limit(1)
        .service(fake.service());
    let handler = transform(stack, async || to(&["a", "b", "refused", "d"]));
    let answered = answer(Router::new().topic("in", handler), record());
    answered.await.unwrap_err();
    assert_eq!(fake.seen(), ["a", "b", "refused"]);
}

#[tokio::test]
async fn a_rejected_argument_publishes_nothing() {
    let fake = Fake::new(100);
    let handler = async |_: kafka_tower::extract::Key<String>| to(&["a"]);
    let error = transformed(&fake, handler).await.unwrap_err();
    assert_eq!(error.to_string(), "the record has no key");
    assert_eq!(fake.seen(), [""; 0]);
}

#[test]
fn records_are_published_and_then_committed() {
    const NUMBERS: Topic<u64> = Topic::new("numbers");
    run(async {
        let bed = Bed::new(1).await;
        bed.publish(0, 10).await;
        let target = NUMBERS.named(beside(&bed, ".doubled").await);
        let doubled = target.clone();
        let handler = async move |number: u64| {
            let twice = number * 2;
            [doubled.record("a", &twice), doubled.record("b", &twice)]
                .into_iter()
                .collect::<Result<Vec<_>, _>>()
        };
        let source = NUMBERS.named(bed.topic.as_str());
        let handler = transform(bed.publisher.clone(), handler);
        let running = bed.serve(Router::new().route(source.handle(handler)));
        bed.committed_soon(&bed.all_at(10)).await;
        assert_eq!(running.stop().await.acked, 10);
        let written = log(bed.brokers(), target.name()).await;
        let of = |key: &str| {
            let of_key = written
                .iter()
                .filter(|one| one.key.as_deref() == Some(key.as_bytes()));
            of_key
                .map(|one| one.text().parse().unwrap())
                .collect::<Vec<u32>>()
        };
        let expected = Vec::from_iter((0..10).map(|number| number * 2));
        assert_eq!((of("a"), of("b")), (expected.clone(), expected));
    });
}

#[test]
fn an_offset_is_not_committed_when_its_publish_fails() {
    run(async {
        let bed = Bed::new(1).await;
        bed.publish(0, 5).await;
        let publisher = bed.publisher.clone();
        let target = beside(&bed, ".target").await;
        let written = target.clone();
        let handler = async move |Payload(payload): Payload<String>| {
            let topic = match payload.as_str() {
                // It can't be.
                "3" => "no topic",
                _ => written.as_str(),
            };
            ProducerRecord::to(topic).payload(payload)
        };
        let router = Router::new().topic(bed.topic.as_str(), transform(publisher, handler));
        let ended = bed.serve(router).end().await.unwrap_err();
        let ServeError::Unhandled { offset, source, .. } = ended else {
            panic!("{ended}");
        };
        assert_eq!(offset, 3);
        let class = Classifier::new().classify(&*source);
        assert_eq!(class, ErrorClass::NonRetriable, "{source}");
        assert_eq!(bed.committed().await, bed.all_at(3));
        assert_eq!(log(bed.brokers(), &target).await.len(), 3);
    });
}
