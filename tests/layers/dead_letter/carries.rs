//! What is dead-lettered, and what a dead letter carries.

use std::time::Duration;

use kafka_tower::{
    Classified, Classifier, ConsumerRecord, ErrorClass, Headers, Outcome, Persistence,
    ProducerRecord,
    layers::{DeadLetter, RetryLayer, dead_letter::header},
};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use super::{call, class, graveyard, handler, poison, publisher, text, written};
use crate::fake::{Fake, failed, order, read, refused};

use ErrorClass::{Fatal, NonRetriable, Retriable, Unavailable};

#[tokio::test]
async fn a_dead_letter_keeps_key_payload_and_headers_and_says_what_happened() {
    let dead = graveyard([written()]);
    let service = DeadLetter::to(dead.handle())
        .group("order-service")
        .layer(handler([poison()]));
    let mut headers = Headers::new();
    headers.append("trace", b"\x00\xff");
    headers.append_null("trace");
    let record = ConsumerRecord::builder("orders", 3, 7)
        .key(b"\xfe")
        .payload("tea")
        .headers(headers)
        .timestamp(1234)
        .attempt(2)
        .build();
    let outcome = service.oneshot(record).await.unwrap();
    let to = written().unwrap();
    assert_eq!(outcome, Outcome::Moved { to });

    let letter = dead.calls().remove(0);
    assert_eq!(
        (&*letter.topic, letter.partition, letter.timestamp),
        ("orders.dlq", None, None)
    );
    assert_eq!(letter.key.as_deref(), Some(&b"\xfe"[..]));
    assert_eq!(letter.payload.as_deref(), Some(&b"tea"[..]));
    let traces: Vec<_> = letter.headers.get_all("trace").collect();
    assert_eq!(traces, [Some(&b"\x00\xff"[..]), None]);
    for (name, value) in [
        (header::TOPIC, "orders"),
        (header::PARTITION, "3"),
        (header::OFFSET, "7"),
        (header::GROUP, "order-service"),
        (header::ATTEMPTS, "2"),
        (header::MESSAGE, "no such customer"),
        (header::CLASS, "non-retriable"),
        (header::DISPOSITION, "poison"),
        (header::ORIGINAL_TIMESTAMP, "1234"),
        (header::HOPS, "1"),
    ] {
        assert_eq!(text(&letter, name), Some(value), "{name}");
    }
    let history = text(&letter, header::HISTORY).unwrap();
    let first = text(&letter, header::FIRST_FAILURE).unwrap();
    assert_eq!(history, format!("{first} non-retriable no such customer"));
    assert_eq!(text(&letter, header::LAST_FAILURE), Some(first));
    for absent in [header::PERSISTENCE, header::POINTER] {
        assert!(!letter.headers.contains(absent), "{absent}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_history_has_each_attempt_of_a_retry_layer() {
    let dead = graveyard([written()]);
    let errors = ["one", "two", "three", "four"].map(|error| Err(error.into()));
    let mut service = ServiceBuilder::new()
        .layer(DeadLetter::to(dead.handle()))
        .layer(RetryLayer::default())
        .service(handler(errors));
    for attempt in 1..4 {
        let outcome = call(&mut service, read(attempt)).await.unwrap();
        assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
    }
    let outcome = call(&mut service, read(4)).await.unwrap();
    assert!(matches!(outcome, Outcome::Moved { .. }), "{outcome:?}");
    let letter = dead.calls().remove(0);
    assert_eq!(text(&letter, header::ATTEMPTS), Some("4"));
    assert_eq!(text(&letter, header::CLASS), Some("retriable"));
    assert_eq!(text(&letter, header::DISPOSITION), Some("failure"));
    let history = text(&letter, header::HISTORY).unwrap();
    let messages: Vec<_> = history
        .lines()
        .map(|line| line.rsplit(' ').next())
        .collect();
    assert_eq!(messages, ["one", "two", "three", "four"].map(Some));
    let message = text(&letter, header::MESSAGE).unwrap();
    assert!(message.ends_with(": four"), "{message}");
}

#[tokio::test]
async fn a_second_death_replaces_what_the_first_one_wrote() {
    let dead = graveyard([written(), written()]);
    let mut service = DeadLetter::to(dead.handle()).layer(handler([poison(), poison()]));
    let record = ConsumerRecord::builder("orders", 3, 7).timestamp(1234);
    assert!(
        call(&mut service, record.build())
            .await
            .unwrap()
            .is_complete()
    );
    let [first] = <[ProducerRecord; 1]>::try_from(dead.calls()).unwrap();
    let record = ConsumerRecord::builder("orders.dlq", 0, 9).timestamp(5678);
    assert!(
        call(&mut service, record.headers(first.headers.clone()).build())
            .await
            .unwrap()
            .is_complete()
    );
    let second = dead.calls().remove(1);
    assert_eq!(second.headers.len(), first.headers.len());
    for (name, value) in [
        (header::TOPIC, "orders.dlq"),
        (header::OFFSET, "9"),
        (header::HOPS, "2"),
        (header::ORIGINAL_TIMESTAMP, "1234"),
    ] {
        assert_eq!(text(&second, name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_long_reason_is_cut() {
    let dead = graveyard([written()]);
    let error = Err("ä".repeat(9999).into());
    let service = DeadLetter::to(dead.handle()).layer(handler([error]));
    assert!(service.oneshot(read(1)).await.unwrap().is_complete());
    let letter = dead.calls().remove(0);
    assert_eq!(text(&letter, header::MESSAGE).map(str::len), Some(1024));
    assert!(text(&letter, header::HISTORY).unwrap().len() < 512);
}

#[tokio::test]
async fn a_handler_may_ask_for_a_dead_letter() {
    let dead = graveyard([written()]);
    let asks = Outcome::DeadLetter {
        reason: "no such customer".into(),
    };
    let service = DeadLetter::to(dead.handle()).layer(handler([Ok(asks)]));
    let outcome = service.oneshot(read(1)).await.unwrap();
    assert!(matches!(outcome, Outcome::Moved { .. }), "{outcome:?}");
    let letter = dead.calls().remove(0);
    assert_eq!(text(&letter, header::MESSAGE), Some("no such customer"));
    assert_eq!(text(&letter, header::CLASS), Some("non-retriable"));
}

#[tokio::test]
async fn what_is_not_the_records_fault_is_never_dead_lettered() {
    let dead = graveyard([]);
    let layer = DeadLetter::to(dead.handle());
    for kind in [Unavailable, Fatal] {
        let error = Err(Classified::new(kind, "no").into());
        let error = layer
            .layer(handler([error]))
            .oneshot(read(1))
            .await
            .unwrap_err();
        assert_eq!(class(&error), Some(kind));
        let error = layer
            .layer(Fake::new([refused(kind)]))
            .oneshot(order())
            .await
            .unwrap_err();
        assert_eq!((error.class(), error.dead_letter()), (kind, None));
    }
    // What a retry layer's rules have found out holds here as well.
    let rules = Classifier::new().on(|_: &std::fmt::Error| Fatal);
    let stack = ServiceBuilder::new()
        .layer(layer.clone())
        .layer(RetryLayer::default().classify(rules.clone()));
    let service = stack.service(handler([Err(std::fmt::Error.into())]));
    service.oneshot(read(1)).await.unwrap_err();
    let service = layer
        .classify(rules)
        .layer(handler([Err(std::fmt::Error.into())]));
    service.oneshot(read(1)).await.unwrap_err();
    assert!(dead.calls().is_empty());
}

#[tokio::test]
async fn what_asks_for_something_else_passes() {
    let layer = DeadLetter::to(graveyard([]));
    let after = Duration::from_secs(1);
    for outcome in [
        Outcome::Ack,
        Outcome::Stop,
        Outcome::Retry { after: Some(after) },
        Outcome::Defer { after },
    ] {
        let service = layer.layer(handler([Ok(outcome.clone())]));
        assert_eq!(service.oneshot(read(1)).await.unwrap(), outcome);
    }
}

#[tokio::test]
async fn a_publish_that_died_is_an_error_that_says_where_the_record_is() {
    let dead = graveyard([written()]);
    let layer = DeadLetter::to(dead.handle());
    let doubtful = failed(NonRetriable, Persistence::PossiblyPersisted);
    let record = order().partition(5).timestamp(1234).message_id("1");
    let error = layer
        .layer(Fake::new([doubtful]))
        .oneshot(record)
        .await
        .unwrap_err();
    assert_eq!(error.dead_letter(), Some(&written().unwrap()));
    assert_eq!(error.class(), NonRetriable);
    assert_eq!(
        error.record().unwrap().payload.as_deref(),
        Some(&b"tea"[..])
    );
    let letter = dead.calls().remove(0);
    assert_eq!(letter.message_id, Some("1".into()));
    assert_eq!((letter.partition, letter.timestamp), (None, None));
    assert_eq!(text(&letter, header::TOPIC), Some("orders"));
    assert_eq!(text(&letter, header::PARTITION), Some("5"));
    assert_eq!(text(&letter, header::OFFSET), None);
    assert_eq!(
        text(&letter, header::PERSISTENCE),
        Some("possibly-persisted")
    );
    assert_eq!(text(&letter, header::ORIGINAL_TIMESTAMP), Some("1234"));
}

#[tokio::test]
async fn of_two_layers_the_inner_one_moves_a_publish() {
    let inner = DeadLetter::to(graveyard([written()]));
    let outer = DeadLetter::to(graveyard([]));
    let service = outer.layer(inner.layer(publisher([refused(NonRetriable)])));
    let error = service.oneshot(order()).await.unwrap_err();
    assert_eq!(error.dead_letter(), Some(&written().unwrap()));
}

#[tokio::test]
async fn the_topic_is_named_suffixed_or_made() {
    let to = |layer: fn(DeadLetter<Fake<ProducerRecord>>) -> DeadLetter<Fake<ProducerRecord>>| async move {
        let dead = graveyard([written()]);
        let service = layer(DeadLetter::to(dead.handle())).layer(handler([poison()]));
        assert!(service.oneshot(read(1)).await.unwrap().is_complete());
        dead.calls().remove(0).topic.to_string()
    };
    assert_eq!(to(|layer| layer.topic("dead")).await, "dead");
    assert_eq!(to(|layer| layer.suffix("-dead")).await, "orders-dead");
    let made = to(|layer| {
        layer.topic_with(|record, error| format!("{}-{}", record.topic, error.to_string().len()))
    });
    assert_eq!(made.await, "orders-16");
}

#[tokio::test]
async fn a_topic_is_not_its_own_dead_letter_topic() {
    let dead = graveyard([]);
    for layer in [
        DeadLetter::to(dead.handle()).topic("orders"),
        DeadLetter::to(dead.handle()).enrich(|letter, _| letter.topic = "orders".into()),
    ] {
        let error = layer
            .layer(handler([poison()]))
            .oneshot(read(1))
            .await
            .unwrap_err();
        assert_eq!(class(&error), Some(Fatal));
        assert!(
            error
                .to_string()
                .contains("is the topic `orders` that it is from"),
            "{error}"
        );
        let cause = error.source().expect("the cause").to_string();
        assert_eq!(cause, "no such customer");
    }
    assert!(dead.calls().is_empty());
}

#[tokio::test]
async fn a_record_does_not_die_for_ever() {
    let layer = DeadLetter::to(graveyard([written()])).max_hops(3);
    let died = |hops: &str| {
        let mut headers = Headers::new();
        headers.append(header::HOPS, hops);
        ConsumerRecord::builder("orders", 0, 7)
            .headers(headers)
            .build()
    };
    let mut service = layer.layer(handler([poison(), poison()]));
    assert!(call(&mut service, died("2")).await.unwrap().is_complete());
    let error = call(&mut service, died("3")).await.unwrap_err();
    assert_eq!(class(&error), Some(Fatal));
    assert!(
        error.to_string().contains("it has died 3 times already"),
        "{error}"
    );
}

#[tokio::test]
async fn a_dead_letter_may_be_changed_before_it_is_written() {
    let dead = graveyard([written()]);
    let layer = DeadLetter::to(dead.handle()).enrich(|letter, error| {
        letter.headers.insert("why", error.to_string());
        letter.headers.remove(header::MESSAGE);
    });
    assert!(
        layer
            .layer(handler([poison()]))
            .oneshot(read(1))
            .await
            .unwrap()
            .is_complete()
    );
    let letter = dead.calls().remove(0);
    assert_eq!(text(&letter, "why"), Some("no such customer"));
    assert!(!letter.headers.contains(header::MESSAGE));
}

#[tokio::test]
async fn what_comes_too_often_is_not_handed_on() {
    let dead = graveyard([written()]);
    let fake = handler((0..2).map(|_| Err("not yet".into())));
    let service = DeadLetter::to(dead.handle())
        .max_attempts(4)
        .layer(RetryLayer::default().layer(fake.handle()));
    let again = service.clone().oneshot(read(3)).await.unwrap();
    assert!(matches!(again, Outcome::Retry { .. }), "{again:?}");
    // The process has ended during the fourth attempt.
    let outcome = service.oneshot(read(5)).await.unwrap();
    assert!(matches!(outcome, Outcome::Moved { .. }), "{outcome:?}");
    assert_eq!(fake.calls().len(), 1);
    let letter = dead.calls().remove(0);
    let message = text(&letter, header::MESSAGE).unwrap();
    assert!(
        message.starts_with("it was begun 4 times and is not complete"),
        "{message}"
    );
    assert_eq!(text(&letter, header::ATTEMPTS), Some("5"));
    assert_eq!(text(&letter, header::CLASS), Some("non-retriable"));
}

#[tokio::test(start_paused = true)]
async fn attempts_at_what_the_handler_published_are_not_the_records() {
    let stack = RetryLayer::default().layer(publisher((0..4).map(|_| refused(Retriable))));
    let handler = service_fn(move |_: ConsumerRecord| stack.clone().oneshot(order()));
    let dead = graveyard([written()]);
    let service = DeadLetter::to(dead.handle()).layer(handler);
    assert!(service.oneshot(read(1)).await.unwrap().is_complete());
    let letter = &dead.calls()[0];
    assert_eq!(text(letter, header::ATTEMPTS), Some("1"));
    assert_eq!(text(letter, header::HISTORY).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn ten_thousand_headers_and_forged_ones_are_carried() {
    let mut headers = Headers::new();
    for n in 0..10_000 {
        headers.append("h", n.to_string());
    }
    headers.append(header::TOPIC, b"\xff\xfe");
    headers.append(header::HOPS, b"\xff");
    headers.append_null(header::POINTER);
    headers.append(header::ORIGINAL_TIMESTAMP, "-99999999999999999999999");
    let record = ConsumerRecord::builder("orders", 3, 7).headers(headers);
    let dead = graveyard([written()]);
    let service = DeadLetter::to(dead.handle()).layer(handler([poison()]));
    assert!(service.oneshot(record.build()).await.unwrap().is_complete());
    let letter = &dead.calls()[0];
    assert_eq!(letter.headers.get_all("h").count(), 10_000);
    assert_eq!(letter.headers.get_all(header::TOPIC).count(), 1);
    assert_eq!(text(letter, header::TOPIC), Some("orders"));
    assert_eq!(text(letter, header::HOPS), Some("1"));
    assert_eq!(text(letter, header::POINTER), None);
}
