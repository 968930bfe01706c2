//! A circuit breaker on both sides of Kafka, while the warehouse that both need is down, and when it is
//! back.
//!
//! ```text
//! cargo run --example circuit_breaker
//! ```
//!
//! Runs on an embedded broker; with `KAFKA_BOOTSTRAP_SERVERS` set, on that cluster. It prints about this:
//!
//! ```text
//! the warehouse is down
//!   published: none of 10, after 2 calls; the circuit is Open
//!   unavailable: publishing to topic `orders-…` failed: the circuit is open, since too many of …
//! the warehouse is back
//!   published: all 10, after 12 calls; the circuit is Closed
//! the warehouse is down
//!   circuit: Open
//!   circuit: HalfOpen
//!   circuit: Open
//!   handled: none of 10, after 3 calls
//! the warehouse is back
//!   circuit: HalfOpen
//!   circuit: Closed
//!   handled: all 10, after 13 calls
//! ```

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use kafka_tower::{
    Backoff, BoxError, Classified, Consumer, ConsumerHandle, ConsumerRecord, ConsumerSettings,
    Delivery, ErrorClass, ProducerRecord, ProducerSettings, PublishError, PublishExt, Publisher,
    layers::{CircuitBreakerLayer, ServiceBuilderExt, circuit_breaker::CircuitState},
    serve,
    testing::TestKafka,
};
use tokio::{select, signal::ctrl_c, sync::watch, time::sleep};
use tower::{ServiceBuilder, service_fn};

const ORDERS: usize = 10;
const OPEN_FOR: Duration = Duration::from_millis(500);

/// What both sides depend on.
#[derive(Clone, Default)]
struct Warehouse {
    down: Arc<AtomicBool>,
    calls: Arc<AtomicU32>,
}

impl Warehouse {
    /// The mark says that nothing is wrong with the order: it may wait, and no attempt is counted.
    async fn reserve(&self) -> Result<(), Classified> {
        self.calls.fetch_add(1, Relaxed);
        sleep(Duration::from_millis(20)).await;
        match self.down.load(Relaxed) {
            true => Err(Classified::unavailable("the warehouse is down")),
            false => Ok(()),
        }
    }

    fn set_down(&self, down: bool) {
        println!("the warehouse is {}", if down { "down" } else { "back" });
        self.down.store(down, Relaxed);
    }

    fn calls(&self) -> u32 {
        self.calls.load(Relaxed)
    }
}

/// Published only if the warehouse has it.
async fn publish_order(
    warehouse: Warehouse,
    publisher: Publisher,
    record: ProducerRecord,
) -> Result<Delivery, BoxError> {
    warehouse.reserve().await?;
    Ok(publisher.send(record).await?)
}

/// While the circuit is open, publishing fails at once, and the errors give the records back.
async fn publish(publisher: Publisher, topic: &str) -> Result<(), BoxError> {
    let warehouse = Warehouse::default();
    let breaker = CircuitBreakerLayer::consecutive(2, OPEN_FOR);
    let monitor = breaker.monitor();
    let asked = warehouse.clone();
    let orders = ServiceBuilder::new()
        .circuit_breaker(breaker)
        .service(service_fn(move |record| {
            publish_order(asked.clone(), publisher.clone(), record)
        }));

    warehouse.set_down(true);
    let mut errors = Vec::new();
    for n in 0..ORDERS {
        let record = ProducerRecord::to(topic).payload(format!("order {n}"));
        errors.extend(orders.send(record).await.err());
    }
    let (calls, state) = (warehouse.calls(), monitor.state());
    println!("  published: none of {ORDERS}, after {calls} calls; the circuit is {state:?}");
    let last = errors.last().ok_or("the warehouse is down")?;
    println!("  {}: {last}", last.class());
    assert_eq!((errors.len(), calls), (ORDERS, 2));
    assert_eq!(last.class(), ErrorClass::Unavailable);

    warehouse.set_down(false);
    sleep(OPEN_FOR).await;
    for record in errors.into_iter().filter_map(PublishError::into_record) {
        orders.send(record).await?;
    }
    let (calls, state) = (warehouse.calls(), monitor.state());
    println!("  published: all {ORDERS}, after {calls} calls; the circuit is {state:?}");
    assert_eq!((calls, state), (12, CircuitState::Closed));
    Ok(())
}

async fn on_order(warehouse: Warehouse, _record: ConsumerRecord) -> Result<(), BoxError> {
    warehouse.reserve().await?;
    Ok(())
}

/// Says each change of a circuit, until the circuit is gone.
async fn watch(mut states: watch::Receiver<CircuitState>) {
    while states.changed().await.is_ok() {
        println!("  circuit: {:?}", *states.borrow_and_update());
    }
}

/// While the circuit is open, the service isn't ready, and its partitions are left unread.
async fn consume(brokers: &str, topic: &str) -> Result<(), BoxError> {
    let warehouse = Warehouse::default();
    let breaker = CircuitBreakerLayer::consecutive(2, OPEN_FOR);
    let monitor = breaker.monitor();
    tokio::spawn(watch(monitor.subscribe().ok_or("one circuit for all")?));
    let asked = warehouse.clone();
    let service = ServiceBuilder::new()
        .retry_with(Backoff::constant(Duration::from_millis(100)))
        .circuit_breaker(breaker)
        .service(service_fn(move |record| on_order(asked.clone(), record)));

    warehouse.set_down(true);
    let settings = ConsumerSettings::new(brokers, format!("{topic}-service"))
        .topics([topic])
        .max_in_flight(1); // One after the other, so that the calls can be counted.
    let serving = serve(Consumer::with_settings(settings)?, service);
    let handle = serving.handle();
    let asked = warehouse.clone();
    let outage = async move {
        // Two failures open the circuit. When it was open for long enough, one call passes as a probe.
        while asked.calls() < 3 || lag(&handle) != Some(ORDERS) {
            sleep(Duration::from_millis(10)).await;
        }
        println!("  handled: none of {ORDERS}, after {} calls", asked.calls());
        asked.set_down(false);
        while lag(&handle) != Some(0) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let summary = serving
        .with_graceful_shutdown(async {
            select! {
                () = outage => {}
                _ = ctrl_c() => {}
            }
        })
        .await?;

    let (acked, calls) = (summary.acked, warehouse.calls());
    println!("  handled: all {acked}, after {calls} calls");
    assert_eq!(
        (acked, monitor.state()),
        (ORDERS as u64, CircuitState::Closed)
    );
    // Each order once, and the failures that opened the circuit or kept it open.
    assert_eq!(u64::from(calls), acked + summary.deferred);
    Ok(())
}

/// How many orders are left, in the one partition.
fn lag(handle: &ConsumerHandle) -> Option<usize> {
    let lag = handle.partitions().first()?.lag?;
    usize::try_from(lag).ok()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let kafka = TestKafka::from_env().await?;
    let topic = kafka.unique_topic("orders", 1).await?;
    let settings = ProducerSettings::high_reliability(kafka.bootstrap_servers());
    publish(Publisher::new(settings)?, &topic).await?;
    consume(kafka.bootstrap_servers(), &topic).await
}
