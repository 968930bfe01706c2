//! Topics with types, on both sides.

use std::time::Duration;

use bytes::Bytes;
use kafka_tower::{
    BoxError, Classifier, Classify, Codec, ConsumerRecord, ErrorClass, JsonCodec, Outcome,
    Persistence, PublishExt, Rejection, Router, Topic,
    extract::{Offset, State},
    find_error,
    layers::{DeadLetter, ServiceBuilderExt},
};
use serde::{Deserialize, Serialize};
use tower::ServiceBuilder;
use uuid::Uuid;

use crate::{
    ack, answer,
    bed::Bed,
    support::{log, run},
    topics::beside,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    item: String,
}

const ORDERS: Topic<Order> = Topic::new("orders");
static CUSTOMERS: Topic<Order, JsonCodec, Option<Uuid>> = Topic::new("customers");

fn tea() -> Order {
    Order {
        item: "tea".to_owned(),
    }
}

fn record(topic: &str) -> kafka_tower::ConsumerRecordBuilder {
    ConsumerRecord::builder(topic, 0, 7)
}

#[test]
fn records_are_written_and_read() {
    let record = ORDERS.record("42", &tea()).unwrap();
    assert_eq!(&*record.topic, "orders");
    assert_eq!(record.key.as_deref(), Some(&b"42"[..]));
    assert_eq!(record.payload.as_deref(), Some(&br#"{"item":"tea"}"#[..]));
    let read = ConsumerRecord::builder("orders", 0, 0)
        .key(record.key.unwrap())
        .payload(record.payload.unwrap())
        .build();
    assert_eq!(ORDERS.key_of(&read).unwrap(), "42");
    assert_eq!(ORDERS.value_of(&read).unwrap(), Some(tea()));

    let tombstone = CUSTOMERS.tombstone(Uuid::nil());
    assert_eq!(tombstone.payload, None);
    assert_eq!(tombstone.key.unwrap().len(), 36);
    assert_eq!(CUSTOMERS.tombstone(None).key, None);
    let renamed = ORDERS.named("orders-2".to_owned());
    assert_eq!((renamed.name(), ORDERS.name()), ("orders-2", "orders"));
}

#[tokio::test]
async fn the_last_argument_is_value_or_key_and_value() {
    async fn value(order: Order) {
        assert_eq!(order, tea());
    }
    async fn optional(State(()): State<()>, order: Option<Order>) -> Outcome {
        order.map_or(Outcome::Skip, |_| Outcome::Ack)
    }
    async fn pair(Offset(offset): Offset, (key, order): (String, Order)) {
        assert_eq!((offset, key.as_str(), order), (7, "42", tea()));
    }
    async fn optional_pair((key, order): (Option<Uuid>, Option<Order>)) -> Outcome {
        assert_eq!(key, None);
        order.map_or(Outcome::Skip, |_| Outcome::Ack)
    }
    let json = r#"{"item":"tea"}"#;
    let full = || record("orders").key("42").payload(json).build();
    let tombstone = || record("orders").key("42").build();
    ack(Router::new().route(ORDERS.handle(value)), full()).await;
    ack(Router::new().route(ORDERS.handle(pair)), full()).await;
    let outcome = answer(Router::new().route(ORDERS.handle(optional)), tombstone()).await;
    assert_eq!(outcome.unwrap(), Outcome::Skip);
    let outcome = answer(Router::new().route(ORDERS.handle(optional)), full()).await;
    assert_eq!(outcome.unwrap(), Outcome::Ack);
    let null = record("customers").build();
    let outcome = answer(Router::new().route(CUSTOMERS.handle(optional_pair)), null).await;
    assert_eq!(outcome.unwrap(), Outcome::Skip);

    let broken = record("customers").payload("{").build();
    let error = answer(Router::new().route(CUSTOMERS.handle(optional_pair)), broken).await;
    let shown = error.unwrap_err().to_string();
    assert_eq!(shown, "the payload of the record can't be read");

    let error = answer(Router::new().route(ORDERS.handle(value)), tombstone()).await;
    let error = error.unwrap_err();
    assert!(find_error::<Rejection>(&*error).unwrap().is_missing());
    let error = answer(
        Router::new().route(ORDERS.handle(pair)),
        record("orders").payload(json).build(),
    );
    assert_eq!(
        error.await.unwrap_err().to_string(),
        "the record has no key"
    );
}

#[test]
fn what_does_not_decode_is_not_shown() {
    for payload in [r#""secret""#, r#"{"item": {"secret": 1}}"#, "secret"] {
        let record = record("orders").key("secret").payload(payload).build();
        let rejection = ORDERS.value_of(&record).unwrap_err();
        let source = std::error::Error::source(&rejection).unwrap().to_string();
        assert!(source.contains("line 1 column"), "{source}");
        let shown = format!("{rejection} {source} {rejection:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}

/// Numbers as text; says nothing about what it can't read.
#[derive(Clone)]
struct Decimal;

impl Codec<u64> for Decimal {
    fn encode(&self, value: &u64) -> Result<Bytes, BoxError> {
        match value {
            0 => Err("zero".into()),
            _ => Ok(value.to_string().into()),
        }
    }

    fn decode(&self, payload: &[u8]) -> Result<u64, BoxError> {
        Ok(std::str::from_utf8(payload)?.parse()?)
    }
}

const COUNTS: Topic<u64, Decimal, ()> = Topic::with_codec("counts", Decimal);

#[tokio::test]
async fn a_codec_of_ones_own() {
    assert_eq!(COUNTS.record((), &7).unwrap().payload.unwrap(), "7");
    let handler = async |count: u64| match count {
        7 => Outcome::Ack,
        _ => Outcome::Skip,
    };
    let seven = record("counts").key("any").payload("7").build();
    let outcome = answer(Router::new().route(COUNTS.handle(handler)), seven).await;
    assert_eq!(outcome.unwrap(), Outcome::Ack);
    let text = record("counts").payload("seven").build();
    let error = answer(Router::new().route(COUNTS.handle(handler)), text)
        .await
        .unwrap_err();
    assert_eq!(
        Classifier::new().classify(&*error),
        ErrorClass::NonRetriable
    );
}

#[test]
fn a_value_that_can_not_be_encoded_is_not_sent() {
    run(async {
        let bed = Bed::new(1).await;
        let counts = bed.publisher.topic(&COUNTS.named(bed.topic.as_str()));
        let error = counts.send((), &0).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::NonRetriable);
        assert_eq!(error.persistence(), Persistence::NotPersisted);
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.to_string(), "zero");
        assert_eq!(*error.record().unwrap().topic, *bed.topic);
        assert_eq!(counts.send((), &7).await.unwrap().offset, Some(0));
        assert_eq!(counts.send_tombstone(()).await.unwrap().offset, Some(1));
        let stored = log(bed.brokers(), &bed.topic).await;
        assert_eq!(stored[0].text(), "7");
        assert_eq!((&stored[0].key, &stored[1].payload), (&None, &None));
    });
}

#[test]
fn what_does_not_decode_goes_the_way_of_the_stack() {
    run(async {
        let bed = Bed::new(1).await;
        let dlq = beside(&bed, ".dlq").await;
        let topic = ORDERS.named(bed.topic.as_str());
        let orders = bed.publisher.topic(&topic);
        orders.send("1", &tea()).await.unwrap();
        bed.publish(0, 1).await;
        orders.send("2", &tea()).await.unwrap();

        let router = Router::new()
            .route(topic.handle(async |_: Order| {}))
            .layer(
                ServiceBuilder::new()
                    .dead_letter(DeadLetter::to(bed.publisher.clone()))
                    .retry_with(kafka_tower::Backoff::default()),
            );
        let running = bed.serve(router);
        bed.committed_soon(&bed.all_at(3)).await;
        let summary = running.stop().await;
        assert_eq!((summary.acked, summary.moved), (2, 1));
        let letters = log(bed.brokers(), &dlq).await;
        assert_eq!(letters.len(), 1);
        let message = letters[0].header("__dlq.errors.message").unwrap();
        let message = String::from_utf8_lossy(message);
        assert!(message.contains("can't be read"), "{message}");
        assert!(message.contains("line 1 column 1"), "{message}");
    });
}

#[test]
fn a_closed_publisher_gives_the_record_back() {
    run(async {
        let bed = Bed::new(1).await;
        let counts = bed.publisher.topic(&COUNTS);
        let flushed = bed.publisher.close(Duration::from_secs(5)).await;
        assert!(flushed.undelivered.is_empty());
        let error = counts.send((), &7).await.unwrap_err();
        assert_eq!(error.record().unwrap().payload.as_deref(), Some(&b"7"[..]));
    });
}
