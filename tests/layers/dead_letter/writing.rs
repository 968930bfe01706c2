//! What happens when a dead letter can't be written, and when too many should be.

use std::time::Duration;

use kafka_tower::{
    Backoff, ConsumerRecord, ErrorClass, Headers, Outcome, Persistence, ProducerRecord,
    PublishError, find_error,
    layers::{
        DeadLetter,
        dead_letter::{DeadLetterBudget, DeadLetterError, DeadLetterService, header},
    },
};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};

use super::{call, class, graveyard, handler, poison, text, written};
use crate::fake::{Fake, Handled, Published, failed, order, read, refused};

use ErrorClass::{Fatal, NonRetriable, Retriable, Unavailable};

fn too_large() -> Published {
    refused(NonRetriable).map_err(|error| error.with_code(10))
}

#[tokio::test]
async fn a_dead_letter_that_is_too_large_becomes_a_pointer() {
    let dead = graveyard([too_large(), written()]);
    let service = DeadLetter::to(dead.handle()).layer(handler([poison()]));
    let mut headers = Headers::new();
    headers.append("large", "header");
    let record = ConsumerRecord::builder("orders", 3, 7)
        .key("42")
        .payload("tea");
    assert!(
        service
            .oneshot(record.headers(headers).build())
            .await
            .unwrap()
            .is_complete()
    );
    let pointer = dead.calls().remove(1);
    assert_eq!(pointer.payload, None);
    assert_eq!(pointer.key.as_deref(), Some(&b"42"[..]));
    assert!(!pointer.headers.contains("large"));
    for (name, value) in [
        (header::POINTER, "true"),
        (header::TOPIC, "orders"),
        (header::PARTITION, "3"),
        (header::OFFSET, "7"),
        (header::MESSAGE, "no such customer"),
    ] {
        assert_eq!(text(&pointer, name), Some(value), "{name}");
    }

    // A pointer that dies stays one.
    let dead = graveyard([written()]);
    let service = DeadLetter::to(dead.handle()).layer(handler([poison()]));
    let record = ConsumerRecord::builder("orders.dlq", 0, 9).headers(pointer.headers);
    assert!(service.oneshot(record.build()).await.unwrap().is_complete());
    assert_eq!(text(&dead.calls()[0], header::POINTER), Some("true"));
}

#[tokio::test]
async fn a_long_key_is_left_out_of_a_pointer() {
    let dead = graveyard([too_large(), written()]);
    let service = DeadLetter::to(dead.handle()).layer(handler([poison()]));
    let record = ConsumerRecord::builder("orders", 3, 7).key("k".repeat(5000));
    assert!(service.oneshot(record.build()).await.unwrap().is_complete());
    assert_eq!(dead.calls()[1].key, None);
}

#[tokio::test]
async fn what_is_too_large_and_can_not_be_pointed_to_is_an_error() {
    let layer = |answers| DeadLetter::to(Fake::new(answers));
    let not_wanted = layer(vec![too_large()]).without_pointers();
    let service = not_wanted.layer(handler([poison()]));
    let error = service.oneshot(read(1)).await.unwrap_err();
    assert_eq!(class(&error), Some(Fatal));
    // Even the pointer.
    let service = layer(vec![too_large(), too_large()]).layer(handler([poison()]));
    service.oneshot(read(1)).await.unwrap_err();
    // A record that was never in Kafka is nowhere else.
    let service = layer(vec![too_large()]).layer(Fake::new([refused(NonRetriable)]));
    let error = service.oneshot(order()).await.unwrap_err();
    assert_eq!(error.dead_letter(), None);
    assert!(error.record().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_failing_write_is_repeated_and_the_handler_is_not_called_for_it() {
    let doubtful = || failed(Retriable, Persistence::PossiblyPersisted);
    let with_id = refused(Retriable).map_err(|error| error.with_record(order().message_id("1")));
    let answers = [
        with_id,
        doubtful(),
        refused(Unavailable),
        doubtful(),
        written(),
    ];
    let dead = graveyard(answers);
    let fake = handler([poison()]);
    let service = DeadLetter::to(dead.handle()).layer(fake.handle());
    let outcome = service.oneshot(read(1)).await.unwrap();
    assert!(matches!(outcome, Outcome::Moved { .. }), "{outcome:?}");
    assert_eq!(dead.times(), [0, 1000, 3000, 7000, 15_000]);
    assert_eq!(fake.calls().len(), 1);
    assert_eq!(dead.calls()[4].message_id, Some("1".into()));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_goes_on_failing_is_an_error() {
    let down = || (0..99).map(|_| refused(Retriable));
    let started = Instant::now();
    let dead = graveyard(down());
    let service = DeadLetter::to(dead.handle()).layer(handler([poison()]));
    let error = service.oneshot(read(1)).await.unwrap_err();
    assert_eq!(class(&error), Some(Unavailable));
    let waited = started.elapsed().as_secs();
    assert!((260..=300).contains(&waited), "{waited}");
    assert!(find_error::<DeadLetterError>(&*error).is_some());
    let shown = error.to_string();
    assert!(
        shown.contains("writing it to `orders.dlq` failed after 14 attempts"),
        "{shown}"
    );
    assert_eq!(
        error.source().expect("the cause").to_string(),
        "no such customer"
    );

    // A caller waits for a publish.
    let dead = graveyard(down());
    let doubtful = failed(Retriable, Persistence::PossiblyPersisted);
    let service = DeadLetter::to(dead.handle()).layer(Fake::new([doubtful]));
    let error = service.oneshot(order()).await.unwrap_err();
    assert_eq!(dead.calls().len(), 4);
    assert_eq!((error.class(), error.dead_letter()), (Unavailable, None));
    // Of the record, not of its dead letter.
    assert_eq!(error.persistence(), Persistence::PossiblyPersisted);
    assert!(error.record().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_write_that_can_not_succeed_is_not_repeated() {
    for kind in [Fatal, NonRetriable] {
        let dead = graveyard([refused(kind)]);
        let backoff = Backoff::default().unlimited_attempts();
        let layer = DeadLetter::to(dead.handle()).write_backoff(backoff);
        let error = layer
            .layer(handler([poison()]))
            .oneshot(read(1))
            .await
            .unwrap_err();
        assert_eq!(class(&error), Some(Fatal));
    }
    let dead = graveyard([]);
    dead.end();
    let service = DeadLetter::to(dead.handle()).layer(handler([poison()]));
    let error = service.oneshot(read(1)).await.unwrap_err();
    assert_eq!(class(&error), Some(Fatal));
}

#[tokio::test]
async fn the_graveyard_is_touched_only_for_the_dead() {
    let dead = graveyard([]);
    let fake = handler([Ok(Outcome::Ack), Ok(Outcome::Ack)]);
    let mut service = DeadLetter::to(dead.handle()).layer(fake.handle());
    let clones = dead.clones();
    // Neither is it polled: an ended one does no harm.
    dead.end();
    for _ in 0..2 {
        assert!(
            call(&mut service.clone(), read(1))
                .await
                .unwrap()
                .is_complete()
        );
    }
    assert_eq!(dead.clones(), clones);
    fake.end();
    assert!(call(&mut service, read(1)).await.is_err());
}

type Budgeted = DeadLetterService<Fake<ProducerRecord>, Fake<ConsumerRecord>>;

fn with_budget(budget: DeadLetterBudget, answers: Vec<Handled>) -> Budgeted {
    let dead = graveyard((0..99).map(|_| written()));
    DeadLetter::to(dead)
        .budget(budget)
        .layer(Fake::new(answers))
}

#[tokio::test]
async fn when_everything_dies_something_else_is_wrong() {
    let budget = DeadLetterBudget::new().max_consecutive(2);
    let answers = vec![
        poison(),
        poison(),
        Ok(Outcome::Ack),
        poison(),
        poison(),
        poison(),
    ];
    let mut service = with_budget(budget, answers);
    for _ in 0..5 {
        assert!(call(&mut service, read(1)).await.unwrap().is_complete());
    }
    // Clones share the count.
    let error = call(&mut service.clone(), read(1)).await.unwrap_err();
    assert_eq!(class(&error), Some(Fatal));
    assert!(
        error.to_string().contains("3 records in a row have died"),
        "{error}"
    );
}

#[tokio::test]
async fn a_spent_budget_may_wait() {
    let after = Duration::from_secs(60);
    let budget = DeadLetterBudget::new().max_consecutive(1).defer_for(after);
    let answers = vec![poison(), poison(), Ok(Outcome::Ack), poison()];
    let mut service = with_budget(budget.clone(), answers);
    let moved = |outcome| matches!(outcome, Outcome::Moved { .. });
    assert!(moved(call(&mut service, read(1)).await.unwrap()));
    assert_eq!(
        call(&mut service, read(1)).await.unwrap(),
        Outcome::Defer { after }
    );
    assert_eq!(call(&mut service, read(1)).await.unwrap(), Outcome::Ack);
    assert!(moved(call(&mut service, read(1)).await.unwrap()));

    // A publish can't be put off.
    let layer = DeadLetter::to(graveyard([written()])).budget(budget);
    let mut service = layer.layer(Fake::new([refused(NonRetriable), refused(NonRetriable)]));
    let error: PublishError = call(&mut service, order()).await.unwrap_err();
    assert!(error.dead_letter().is_some());
    let error = call(&mut service, order()).await.unwrap_err();
    assert_eq!((error.class(), error.dead_letter()), (Fatal, None));
}

#[tokio::test]
async fn a_publish_that_fits_nowhere_is_no_fault_of_the_client() {
    let service = DeadLetter::to(graveyard([too_large()])).layer(Fake::new([too_large()]));
    let error = service.oneshot(order()).await.unwrap_err();
    assert_eq!(error.class(), NonRetriable, "{error}");
    // So a handler that publishes it doesn't stop its consumer.
    let stack = DeadLetter::to(graveyard([too_large()])).layer(Fake::new([too_large()]));
    let handler = tower::service_fn(move |_: ConsumerRecord| stack.clone().oneshot(order()));
    let service = DeadLetter::to(graveyard([written()])).layer(handler);
    assert!(service.oneshot(read(1)).await.unwrap().is_complete());
}
