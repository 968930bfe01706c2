//! Publishing: presets, many records at once, what becomes of each, a queue that owns them, and what a
//! failure gives back.
//!
//! ```text
//! cargo run --example publisher
//! ```
//!
//! Runs on an embedded broker; with `KAFKA_BOOTSTRAP_SERVERS` set, on that cluster. It prints about this:
//!
//! ```text
//! presets, one record each:
//!   low_latency       1.3ms
//!   high_reliability  6.4ms
//!   high_throughput   21.5ms
//! 1000 records at once, in order: 53.9ms
//! tracked:
//!   before: Pending
//!   hook: an order of Ada's is at partition 0, offset 1001
//! failures:
//!   non-retriable, NotPersisted:
//!     publishing to topic `orders-…` failed: UnknownPartition (code -190); the topic has no such …
//!     corrected, it went to partition 2, with its id
//!   non-retriable, NotPersisted:
//!     publishing to topic `orders-…` failed: MessageSizeTooLarge (code 10); the record, or the …
//!     corrected, it went to partition 2, with its id
//! queue:
//!   flush: 100 delivered
//!   close: 0 delivered, 1 failed, 0 undelivered
//! closed: 0 undelivered
//! ```

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use kafka_tower::{
    Backoff, BoxError, Delivery, ErrorClass, Persistence, ProducerRecord, ProducerSettings,
    PublishExt, Publisher,
    layers::{
        ServiceBuilderExt,
        track::{DeliveryContext, DeliveryHooks, DeliveryStatus, DeliveryTracker},
    },
    testing::TestKafka,
};
use tower::ServiceBuilder;

const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let kafka = TestKafka::from_env().await?;
    let topic = kafka.unique_topic("orders", 3).await?;
    presets(kafka.bootstrap_servers(), &topic).await?;

    let settings = ProducerSettings::high_reliability(kafka.bootstrap_servers());
    let publisher = Publisher::new(settings.client_id("example").delivery_timeout(DEADLINE))?;
    many_at_once(&publisher, &topic).await?;
    tracked(&publisher, &topic).await?;
    failures(&publisher, &topic).await?;
    queue(&publisher, &topic).await?;

    let flushed = publisher.close(DEADLINE).await;
    println!("closed: {} undelivered", flushed.undelivered.len());
    assert!(flushed.undelivered.is_empty());
    Ok(())
}

/// All of them are as safe: they differ in how long a record waits for others.
async fn presets(brokers: &str, topic: &str) -> Result<(), BoxError> {
    println!("presets, one record each:");
    for (name, settings) in [
        ("low_latency", ProducerSettings::low_latency(brokers)),
        (
            "high_reliability",
            ProducerSettings::high_reliability(brokers),
        ),
        (
            "high_throughput",
            ProducerSettings::high_throughput(brokers),
        ),
    ] {
        let publisher = Publisher::new(settings)?;
        let record = ProducerRecord::to(topic).payload("tea");
        publisher.send(record.clone()).await?; // The first one has to connect.
        let started = Instant::now();
        publisher.send(record).await?;
        println!("  {name:<17} {:.1?}", started.elapsed());
    }
    Ok(())
}

/// `join_all` publishes in the order of its futures: equal keys keep their order.
async fn many_at_once(publisher: &Publisher, topic: &str) -> Result<(), BoxError> {
    let started = Instant::now();
    let records = (0..1000).map(|n| {
        let record = ProducerRecord::to(topic).key("customer-1");
        record.payload(n.to_string())
    });
    let results = join_all(records.map(|record| publisher.send(record))).await;
    let deliveries: Vec<Delivery> = results.into_iter().collect::<Result<_, _>>()?;
    let offsets: Vec<i64> = deliveries.iter().filter_map(|to| to.offset).collect();
    println!("1000 records at once, in order: {:.1?}", started.elapsed());
    assert!(offsets.is_sorted());
    Ok(())
}

/// What is known of a record here: it goes through the layers with it, and never to Kafka.
#[derive(Clone)]
struct Customer(&'static str);

struct Print;

impl DeliveryHooks for Print {
    fn on_success(&self, context: &DeliveryContext<'_>, to: &Delivery) {
        if let Some(Customer(name)) = context.record.extensions.get() {
            let offset = to.offset.unwrap_or_default();
            println!(
                "  hook: an order of {name}'s is at partition {}, offset {offset}",
                to.partition
            );
        }
    }
}

async fn tracked(publisher: &Publisher, topic: &str) -> Result<(), BoxError> {
    println!("tracked:");
    let orders = ServiceBuilder::new()
        .track(Print)
        .retry_with(Backoff::exponential(Duration::from_millis(100)..=DEADLINE))
        .service(publisher.clone());

    let tracker = DeliveryTracker::new();
    let record = ProducerRecord::to(topic).key("customer-2").payload("tea");
    let record = record.extension(Customer("Ada")).extension(tracker.clone());
    println!("  before: {:?}", tracker.status());
    let delivery = orders.send(record).await?;
    assert_eq!(tracker.status(), DeliveryStatus::Delivered(delivery));
    Ok(())
}

/// An error has the record in it, and says whether Kafka may have written it.
async fn failures(publisher: &Publisher, topic: &str) -> Result<(), BoxError> {
    println!("failures:");
    for wrong in [
        ProducerRecord::to(topic).payload("tea").partition(99),
        ProducerRecord::to(topic).payload(vec![0; 2_000_000]),
    ] {
        let error = publisher
            .send(wrong)
            .await
            .expect_err("it can't be published");
        println!("  {}, {:?}:", error.class(), error.persistence());
        println!("    {error}");
        assert_eq!(error.class(), ErrorClass::NonRetriable);
        assert_eq!(error.persistence(), Persistence::NotPersisted);

        let mut record = error
            .into_record()
            .ok_or("an error of a send has its record")?;
        let id = record.message_id.clone();
        (record.partition, record.payload) = (None, Some("tea".into()));
        let delivery = publisher.send(record).await?;
        println!(
            "    corrected, it went to partition {}, with its id",
            delivery.partition
        );
        assert_eq!(Some(delivery.message_id), id);
    }
    Ok(())
}

/// A queue answers for the records that were put in, whoever put them in.
async fn queue(publisher: &Publisher, topic: &str) -> Result<(), BoxError> {
    println!("queue:");
    let queue = publisher.clone().queue(50);
    for n in 0..100 {
        queue
            .push(ProducerRecord::to(topic).payload(n.to_string()))
            .await?;
    }
    let flushed = queue.flush(DEADLINE).await;
    println!("  flush: {} delivered", flushed.delivered);
    assert_eq!(flushed.delivered, 100);

    queue.push(ProducerRecord::to(topic).partition(99)).await?;
    let closed = queue.close(DEADLINE).await;
    println!(
        "  close: {} delivered, {} failed, {} undelivered",
        closed.delivered,
        closed.failed.len(),
        closed.undelivered.len()
    );
    assert_eq!(closed.failed.len(), 1);
    Ok(())
}
