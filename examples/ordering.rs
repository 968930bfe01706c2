//! The three orders in which the records of a partition are handled: the same six each time, the first of
//! them slow.
//!
//! ```text
//! cargo run --example ordering
//! ```
//!
//! Runs on an embedded broker; with `KAFKA_BOOTSTRAP_SERVERS` set, on that cluster. It prints:
//!
//! ```text
//! published   ada:1  bob:1  eve:1  ada:2  bob:2  eve:2
//! Partition   ada:1  bob:1  eve:1  ada:2  bob:2  eve:2   everybody waits for ada:1
//! Key         bob:1  eve:1  bob:2  eve:2  ada:1  ada:2   only ada:2 waits for it
//! Unordered   bob:1  eve:1  ada:2  bob:2  eve:2  ada:1   nobody does
//! ```
//!
//! In each of them an offset is committed only when every record before it is done, and records of
//! different partitions are handled side by side.

use std::{future::IntoFuture, time::Duration};

use kafka_tower::{
    BoxError, Consumer, ConsumerRecord, ConsumerSettings, Ordering, ProducerRecord,
    ProducerSettings, PublishExt, Publisher, serve, testing::TestKafka,
};
use tokio::{join, signal::ctrl_c, sync::mpsc, time::sleep};
use tower::service_fn;

/// Customer and number; the customer is the key.
const RECORDS: [&str; 6] = ["ada:1", "bob:1", "eve:1", "ada:2", "bob:2", "eve:2"];

async fn on_record(
    done: mpsc::UnboundedSender<String>,
    record: ConsumerRecord,
) -> Result<(), BoxError> {
    let name = str::from_utf8(record.payload().unwrap_or_default())?;
    if name == "ada:1" {
        sleep(Duration::from_secs(2)).await;
    }
    done.send(name.to_owned())?;
    Ok(())
}

/// Handles all records in one of the orders; returns them as they were done.
async fn handle_all(
    kafka: &TestKafka,
    topic: &str,
    ordering: Ordering,
) -> Result<Vec<String>, BoxError> {
    let (done, mut names) = mpsc::unbounded_channel();
    let service = service_fn(move |record| on_record(done.clone(), record));
    let settings =
        ConsumerSettings::new(kafka.bootstrap_servers(), format!("{topic}-{ordering:?}"))
            .topics([topic])
            .ordering(ordering);
    let serving = serve(Consumer::with_settings(settings)?, service)
        .with_graceful_shutdown(async { ctrl_c().await.unwrap_or_default() });

    let handle = serving.handle();
    let collecting = async {
        let mut handled = Vec::new();
        while handled.len() < RECORDS.len()
            && let Some(name) = names.recv().await
        {
            handled.push(name);
        }
        handle.stop();
        handled
    };
    let (summary, handled) = join!(serving.into_future(), collecting);
    summary?;
    Ok(handled)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let kafka = TestKafka::from_env().await?;
    let topic = kafka.unique_topic("visits", 1).await?;
    let publisher = Publisher::new(ProducerSettings::low_latency(kafka.bootstrap_servers()))?;
    for name in RECORDS {
        let (customer, _) = name.split_once(':').unwrap_or_default();
        let record = ProducerRecord::to(topic.as_str()).key(customer);
        publisher.send(record.payload(name)).await?;
    }
    println!("published   {}", RECORDS.join("  "));

    let by_partition = handle_all(&kafka, &topic, Ordering::Partition).await?;
    println!(
        "Partition   {}   everybody waits for ada:1",
        by_partition.join("  ")
    );
    assert_eq!(by_partition, RECORDS);

    let by_key = handle_all(&kafka, &topic, Ordering::Key).await?;
    println!(
        "Key         {}   only ada:2 waits for it",
        by_key.join("  ")
    );
    assert_eq!(
        by_key,
        ["bob:1", "eve:1", "bob:2", "eve:2", "ada:1", "ada:2"]
    );

    let unordered = handle_all(&kafka, &topic, Ordering::Unordered).await?;
    println!("Unordered   {}   nobody does", unordered.join("  "));
    assert_eq!(unordered.last().map(String::as_str), Some("ada:1"));
    Ok(())
}
