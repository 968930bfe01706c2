//! Dead letters that become records again.

use kafka_tower::{
    ConsumerRecord, ErrorClass, Headers, ProducerRecord, Rejection,
    layers::{
        DeadLetter,
        dead_letter::{header, original},
    },
};
use tower::{Layer, ServiceExt};

use super::{graveyard, handler, poison, written};

/// What is read of a dead letter.
fn read_back(letter: &ProducerRecord) -> ConsumerRecord {
    let record = ConsumerRecord::builder(letter.topic.clone(), 0, 0)
        .key(letter.key.clone().unwrap_or_default())
        .headers(letter.headers.clone());
    match letter.payload.clone() {
        Some(payload) => record.payload(payload).build(),
        None => record.build(),
    }
}

async fn letter_of(record: ConsumerRecord) -> ConsumerRecord {
    let dead = graveyard([written()]);
    let layer = DeadLetter::to(dead.handle()).group("order-service");
    let service = layer.layer(handler([poison()]));
    assert!(service.oneshot(record).await.unwrap().is_complete());
    read_back(&dead.calls()[0])
}

fn order(headers: Headers) -> ConsumerRecord {
    let record = ConsumerRecord::builder("orders", 3, 7).key(b"\xfe");
    record
        .payload("tea")
        .headers(headers)
        .timestamp(1234)
        .build()
}

#[tokio::test]
async fn it_is_the_record_as_it_was() {
    let mut headers = Headers::new();
    headers.append("trace", b"\x00\xff");
    headers.append_null("trace");
    let record = original(&letter_of(order(headers.clone())).await).unwrap();
    assert_eq!(&*record.topic, "orders");
    assert_eq!(record.key.as_deref(), Some(&b"\xfe"[..]));
    assert_eq!(record.payload.as_deref(), Some(&b"tea"[..]));
    assert_eq!((record.partition, record.timestamp), (None, Some(1234)));
    assert_eq!(record.headers, headers);
}

#[tokio::test]
async fn what_is_no_dead_letter_or_does_not_hold_the_record_is_refused() {
    let refusal = |record: &ConsumerRecord| -> Rejection { original(record).unwrap_err() };
    let stranger = refusal(&order(Headers::new()));
    assert_eq!(stranger.class(), ErrorClass::NonRetriable);
    assert_eq!(stranger.to_string(), "the record is no dead letter");

    let letter = letter_of(order(Headers::new())).await;
    let mut headers = letter.headers().clone();
    headers.append(header::POINTER, "true");
    let pointer = refusal(&order(headers.clone()));
    assert!(pointer.to_string().contains("is a pointer"), "{pointer}");

    // A timestamp that no record can have.
    headers.remove(header::POINTER);
    headers.insert(header::ORIGINAL_TIMESTAMP, "0");
    assert_eq!(original(&order(headers)).unwrap().timestamp, None);
}
