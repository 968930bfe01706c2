//! What is built with this crate under test: a handler, its stack of layers, both under chaos, and a
//! consumer on the embedded broker. Each part checks itself.
//!
//! ```text
//! cargo run --example testing
//! ```
//!
//! Takes no Kafka. The functions stand for tests; in yours `#[tokio::test(start_paused = true)]` goes
//! above those that wait.

use std::time::Duration;

use kafka_tower::{
    Backoff, BoxError, Classified, ConsumerRecord, ErrorClass, Outcome, Persistence,
    ProducerRecord, PublishError, PublishExt, RecordService, find_error,
    layers::{DeadLetter, ServiceBuilderExt},
    serve,
    testing::{ChaosLayer, EmbeddedKafka, MockPublisher},
};
use serde::{Deserialize, Serialize};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_test::mock;

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    id: u32,
}

/// The handler under test: an order is billed, by another record. It takes any publisher.
async fn bill(publisher: impl PublishExt, record: ConsumerRecord) -> Result<(), BoxError> {
    let payload = record.payload().unwrap_or_default();
    let order: Order = serde_json::from_slice(payload).map_err(Classified::non_retriable)?;
    let bill = ProducerRecord::to("bills").key(order.id.to_string());
    publisher.send(bill.json(&order)?).await?;
    Ok(())
}

/// The layers under test: those of production, around whatever is inside.
fn stack<P, S>(
    publisher: P,
    inner: S,
) -> impl Service<ConsumerRecord, Response = Outcome, Error = BoxError, Future: Send + 'static>
+ Clone
+ Send
+ Sync
+ 'static
where
    P: RecordService<ProducerRecord> + Clone + Send + Sync + 'static,
    S: RecordService<ConsumerRecord, Error: 'static> + Clone + Send + Sync + 'static,
{
    let waits = Duration::from_secs(1)..=Duration::from_secs(30);
    ServiceBuilder::new()
        .dead_letter(DeadLetter::to(publisher))
        .retry_with(Backoff::exponential(waits).max_attempts(5))
        .timeout(Duration::from_secs(10))
        .catch_panic()
        .service(inner)
}

fn order(id: u32) -> ConsumerRecord {
    let payload = serde_json::to_vec(&Order { id }).expect("a number");
    let record = ConsumerRecord::builder("orders", 0, id.into());
    record.key(id.to_string()).payload(payload).build()
}

/// A handler is a function: it is called, and what it published is looked at.
async fn a_handler() -> Result<(), BoxError> {
    let bills = MockPublisher::new();
    bill(bills.clone(), order(42)).await?;
    let written = bills.written("bills");
    assert_eq!(written[0].key.as_deref(), Some(&b"42"[..]));
    println!("a handler: an order became {:?}", written[0]);

    bills.fail_next(1, ErrorClass::Unavailable, Persistence::NotPersisted);
    let error = bill(bills.clone(), order(43)).await.expect_err("on order");
    let error: &PublishError = find_error(&*error).expect("that of the publisher");
    assert_eq!(error.class(), ErrorClass::Unavailable);
    println!("a handler: with Kafka away, {error}");
    Ok(())
}

/// The layers are tested around tower's mock, which plays the handler by hand.
async fn a_stack() -> Result<(), BoxError> {
    let letters = MockPublisher::new();
    let (mock, mut handler) = mock::pair::<ConsumerRecord, Outcome>();
    let mut service = stack(letters.clone(), mock);

    for (attempt, meant) in [(1, "tried again"), (5, "moved")] {
        let record = ConsumerRecord::builder("orders", 0, 7).attempt(attempt);
        handler.allow(1);
        let answer = tokio::spawn(service.ready().await?.call(record.build()));
        let (_, reply) = handler.next_request().await.expect("a call");
        reply.send_error("the database is down");
        let outcome = answer.await??;
        println!("a stack: what failed at attempt {attempt} is {meant}: {outcome:?}");
        match attempt {
            1 => assert!(matches!(outcome, Outcome::Retry { .. })),
            _ => assert!(matches!(outcome, Outcome::Moved { .. })),
        }
    }
    assert_eq!(letters.written("orders.dlq").len(), 1);
    Ok(())
}

/// A handler that hangs runs into the timeout, which takes no time when tokio's is paused.
async fn a_timeout() -> Result<(), BoxError> {
    let started = tokio::time::Instant::now();
    let hangs =
        service_fn(async |_: ConsumerRecord| std::future::pending::<Result<(), BoxError>>().await);
    let service = stack(MockPublisher::new(), hangs);
    let outcome = service.oneshot(order(1)).await?;
    assert!(matches!(outcome, Outcome::Retry { .. }));
    println!("a timeout: {outcome:?}, after {:?}", started.elapsed());
    Ok(())
}

/// The real layers around the real handler, on the embedded broker, while a third of the calls fail,
/// panic or are late. What was published is handled or a dead letter, and there is no sleep.
async fn a_consumer_under_chaos() -> Result<(), BoxError> {
    const ORDERS: u32 = 200;
    let kafka = EmbeddedKafka::start().await?;
    for id in 0..ORDERS {
        let record = ProducerRecord::to("orders").key(id.to_string());
        kafka.publisher().send(record.json(&Order { id })?).await?;
    }

    let (bills, letters) = (MockPublisher::new(), MockPublisher::new());
    let publisher = bills.clone();
    let handler = ServiceBuilder::new()
        .layer(
            ChaosLayer::new(42)
                .errors(0.2)
                .error_class(ErrorClass::NonRetriable)
                .delays(0.1, Duration::ZERO..=Duration::from_millis(20)),
        )
        .service(service_fn(move |record| bill(publisher.clone(), record)));
    let settings = kafka.settings("billing").topics(["orders"]);
    // It is the only one, and no pause of a busy machine is to cost it its partitions.
    let consumer = settings.session_timeout(Duration::from_secs(10)).build()?;
    let serve = serve(consumer, stack(letters.clone(), handler));
    let handle = serve.handle();
    let summary = serve
        .with_graceful_shutdown(async move { handle.drained().await.expect("it runs") })
        .await?;

    let (billed, dead) = (bills.records().len(), letters.records().len());
    assert_eq!(billed + dead, ORDERS as usize);
    assert_eq!(summary.moved, dead as u64);
    println!("a consumer: {billed} orders were billed, {dead} are dead letters");
    println!("{summary}");
    Ok(())
}

fn main() -> Result<(), BoxError> {
    let paused = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()?;
    paused.block_on(async {
        a_handler().await?;
        a_stack().await?;
        a_timeout().await
    })?;
    // A broker has a time of its own.
    tokio::runtime::Runtime::new()?.block_on(a_consumer_under_chaos())
}
