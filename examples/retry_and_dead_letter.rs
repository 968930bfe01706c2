//! Four ways of a record: it is handled, it is handled at its third attempt, it is given up after the
//! last attempt, and it is given up at once. What was given up is read back from the dead-letter topic.
//!
//! ```text
//! cargo run --example retry_and_dead_letter
//! ```
//!
//! Runs on an embedded broker; with `KAFKA_BOOTSTRAP_SERVERS` set, on that cluster. It prints about this:
//!
//! ```text
//! orders:
//!   tea, attempt 1: shipped
//!   coffee, attempt 1: the warehouse is busy
//!   sugar, attempt 1: the shelf is empty
//!   unicorn, attempt 1: there are no unicorns
//!   broken, attempt 1: key must be a string at line 1 column 3
//!   sugar, attempt 2: the shelf is empty
//!   coffee, attempt 2: the warehouse is busy
//!   coffee, attempt 3: shipped
//!   sugar, attempt 3: the shelf is empty
//! dead letters:
//!   …
//!   {"item":"sugar"}
//!     who:      orders-…-service
//!     where:    orders-…/0 at 2
//!     why:      gave up after 3 attempts in 0.6 s: the shelf is empty (retriable)
//!     attempts: 3
//! ```

use std::{sync::Arc, time::Duration};

use kafka_tower::{
    Backoff, BoxError, Classified, Consumer, ConsumerRecord, ConsumerSettings, Outcome,
    ProducerRecord, ProducerSettings, PublishExt, Publisher, RecordService, Summary,
    layers::{
        DeadLetter, ServiceBuilderExt,
        dead_letter::header::{ATTEMPTS, CLASS, GROUP, MESSAGE, OFFSET, PARTITION, TOPIC},
    },
    serve,
    testing::TestKafka,
};
use serde::{Deserialize, Serialize};
use tokio::{select, signal::ctrl_c, sync::Semaphore};
use tower::{ServiceBuilder, service_fn};

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    item: String,
}

async fn on_order(record: ConsumerRecord) -> Result<(), BoxError> {
    let key = String::from_utf8_lossy(record.key().unwrap_or_default());
    let shipped = ship(&record);
    let result = shipped
        .as_ref()
        .map_or_else(BoxError::to_string, |()| "shipped".to_owned());
    println!("  {key}, attempt {}: {result}", record.attempt());
    shipped
}

fn ship(record: &ConsumerRecord) -> Result<(), BoxError> {
    // serde's errors are never repeated: what is no order now will be none later.
    let order: Order = serde_json::from_slice(record.payload().unwrap_or_default())?;
    match (&*order.item, record.attempt()) {
        // An error of which nothing is known is repeated, with the waits of the backoff.
        ("sugar", _) => Err("the shelf is empty".into()),
        // A mark says what an error means, and may say when to come back.
        ("coffee", 1 | 2) => Err(Classified::retriable("the warehouse is busy")
            .retry_after(Duration::from_millis(300))
            .into()),
        ("unicorn", _) => Err(Classified::non_retriable("there are no unicorns").into()),
        _ => Ok(()),
    }
}

/// Says who gave the record up, where it was, and why.
async fn on_letter(record: ConsumerRecord) -> Result<(), BoxError> {
    let header = |name| String::from_utf8_lossy(record.headers().get(name).unwrap_or_default());
    println!(
        "  {}",
        String::from_utf8_lossy(record.payload().unwrap_or_default())
    );
    println!("    who:      {}", header(GROUP));
    println!(
        "    where:    {}/{} at {}",
        header(TOPIC),
        header(PARTITION),
        header(OFFSET)
    );
    println!("    why:      {} ({})", header(MESSAGE), header(CLASS));
    println!("    attempts: {}", header(ATTEMPTS));
    Ok(())
}

/// Serves until so many records are complete, or until Ctrl-C.
async fn consume<S>(
    settings: ConsumerSettings,
    service: S,
    records: u32,
) -> Result<Summary, BoxError>
where
    S: RecordService<ConsumerRecord> + Clone + Send + Sync + 'static,
{
    let complete = Arc::new(Semaphore::new(0));
    let counted = Arc::clone(&complete);
    let service = ServiceBuilder::new()
        .map_response(move |answer: S::Response| {
            let outcome: Outcome = answer.into();
            counted.add_permits(usize::from(outcome.is_complete()));
            outcome
        })
        .service(service);
    let summary = serve(Consumer::with_settings(settings)?, service)
        .with_graceful_shutdown(async move {
            select! {
                _ = complete.acquire_many(records) => {}
                _ = ctrl_c() => {}
            }
        })
        .await?;
    Ok(summary)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let kafka = TestKafka::from_env().await?;
    let brokers = kafka.bootstrap_servers();
    let topic = kafka.unique_topic("orders", 1).await?;
    let letters = format!("{topic}.dlq");
    kafka.create_topic(&letters, 1).await?;

    let publisher = Publisher::new(ProducerSettings::high_reliability(brokers))?;
    for item in ["tea", "coffee", "sugar", "unicorn"] {
        let order = Order {
            item: item.to_owned(),
        };
        let record = ProducerRecord::to(topic.as_str()).key(item);
        publisher.send(record.json(&order)?).await?;
    }
    let broken = ProducerRecord::to(topic.as_str()).key("broken");
    publisher.send(broken.payload("{ no order")).await?;

    println!("orders:");
    let group = format!("{topic}-service");
    let backoff = Backoff::exponential(Duration::from_millis(200)..=Duration::from_secs(5));
    let service = ServiceBuilder::new()
        .dead_letter(DeadLetter::to(publisher.clone()).group(group.as_str()))
        .retry_with(backoff.max_attempts(3))
        .timeout(Duration::from_secs(5))
        .catch_panic()
        .service(service_fn(on_order));
    let settings = ConsumerSettings::new(brokers, group).topics([&topic]);
    let orders = consume(settings, service, 5).await?;

    assert_eq!((orders.acked, orders.retried, orders.moved), (2, 4, 3));

    println!("dead letters:");
    let settings = ConsumerSettings::new(brokers, format!("{letters}-reader")).topics([&letters]);
    let read = consume(settings, service_fn(on_letter), 3).await?;

    assert_eq!(read.acked, 3);
    Ok(())
}
