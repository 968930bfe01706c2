//! How long a record takes from the call that produces it to its handler.

use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use kafka_tower::ConsumerRecord;
use rdkafka::{
    ClientConfig, Message,
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use tokio::sync::Notify;
use tower::service_fn;

use crate::{
    consumers::{BASE, Reader, STREAM, TOWER, poll, tower},
    report::{Clock, Report, Sample},
    run::{Run, in_time, skipped},
};

const PARTITIONS: usize = 4;
const KEYS: usize = 1_000;
const BYTES: usize = 100;
/// What a record's time is counted from; a record of time 0 is none to be measured.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// So many records at once to one partition, then as many to the next: single ones, of which each
/// would be a request of its own, would keep the broker busier than the consumer.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    records: usize,
    warm_up: usize,
    burst: usize,
    every: Duration,
}

pub(crate) async fn run(run: &Run, work: &'static str) -> Report {
    if run.kafka.embedded().is_some() {
        // It answers a fetch that finds nothing only when the fetch's time to wait is over.
        return skipped(work);
    }
    let pace = match work {
        "e2e-idle" => Pace {
            records: run.records(500),
            warm_up: 20,
            burst: 1,
            every: Duration::from_millis(20),
        },
        _ => Pace {
            records: run.records(250_000),
            warm_up: 50_000,
            burst: 50,
            every: Duration::from_millis(1),
        },
    };
    LazyLock::force(&START);
    run.compare(work, &[BASE, STREAM, TOWER], async |subject| {
        in_time(subject, measure(run, subject, pace)).await
    })
    .await
}

async fn measure(run: &Run, subject: &'static str, pace: Pace) -> Sample {
    let topic = run.topic(PARTITIONS).await;
    let reader = Reader::new(run, &topic);
    let arrivals = Arc::new(Arrivals::new(pace.records));
    let brokers = run.kafka.bootstrap_servers().to_owned();
    let feeder = tokio::spawn(feed(brokers, topic, pace, Arc::clone(&arrivals)));
    let seen = Arc::clone(&arrivals);
    match subject {
        BASE => {
            let work = move |consumer: &_| poll(consumer, |record| seen.arrived(record.payload()));
            reader.base(work).await;
        }
        STREAM => {
            reader
                .stream(move |record| seen.arrived(record.payload()))
                .await;
        }
        _ => {
            let service = service_fn(move |record: ConsumerRecord| {
                seen.arrived(record.payload());
                ready(Ok::<_, Infallible>(()))
            });
            tower(reader.settings(), service, arrivals.done.notified()).await;
        }
    }
    feeder.await.expect("the producer");
    arrivals.sample(subject)
}

struct Arrivals {
    wanted: usize,
    times: Mutex<Vec<Duration>>,
    clock: OnceLock<Clock>,
    taken: OnceLock<(Duration, Duration)>,
    joined: Notify,
    done: Notify,
}

impl Arrivals {
    fn new(wanted: usize) -> Self {
        Self {
            wanted,
            times: Mutex::new(Vec::with_capacity(wanted)),
            clock: OnceLock::new(),
            taken: OnceLock::new(),
            joined: Notify::new(),
            done: Notify::new(),
        }
    }

    /// A record is in its handler; true for the last one.
    fn arrived(&self, payload: Option<&[u8]>) -> bool {
        let stamp = payload.and_then(|payload| payload.first_chunk());
        let sent = u64::from_le_bytes(*stamp.expect("a stamp"));
        if sent == 0 {
            self.joined.notify_one();
            return false;
        }
        let time = START.elapsed().saturating_sub(Duration::from_nanos(sent));
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.push(time);
        let last = times.len() == self.wanted;
        if last {
            let _ = self.taken.set(self.clock.get().expect("begun").elapsed());
            self.done.notify_one();
        }
        last
    }

    fn sample(&self, subject: &'static str) -> Sample {
        let (wall, cpu) = *self.taken.get().expect("finished");
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        Sample::new(subject, self.wanted, wall, cpu).with_latency(times.clone())
    }
}

type RawProducer = ThreadedProducer<DefaultProducerContext>;

async fn feed(brokers: String, topic: String, pace: Pace, arrivals: Arc<Arrivals>) {
    let producer: RawProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "0")
        .set("socket.nagle.disable", "true")
        .set("queue.buffering.max.messages", "1000000")
        .create()
        .expect("a producer");
    send(&producer, &topic, (0, 0), 0);
    in_time("the first record", arrivals.joined.notified()).await;
    let work = tokio::task::spawn_blocking(move || {
        pace.keep(pace.warm_up, |place| send(&producer, &topic, place, 0));
        assert!(arrivals.clock.set(Clock::start()).is_ok(), "one beginning");
        pace.keep(pace.records, |place| {
            let now = u64::try_from(START.elapsed().as_nanos()).expect("less than centuries");
            send(&producer, &topic, place, now);
        });
        producer.flush(Duration::from_secs(10)).expect("flushed");
    });
    work.await.expect("the pacing thread");
}

impl Pace {
    /// Sends records, told which burst they are part of and their place in it.
    fn keep(&self, records: usize, mut send: impl FnMut((usize, usize))) {
        let start = Instant::now();
        for index in 0..records {
            let (burst, place) = (index / self.burst, index % self.burst);
            if place == 0 {
                let due = start + self.every * u32::try_from(burst).expect("a small number");
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            send((burst, place));
        }
    }
}

fn send(producer: &RawProducer, topic: &str, (burst, place): (usize, usize), stamp: u64) {
    let mut payload = [b'x'; BYTES];
    payload[..8].copy_from_slice(&stamp.to_le_bytes());
    // Different keys in a burst, and equal ones always in the same partition.
    let partition = burst % PARTITIONS;
    let key = ((burst + place) * PARTITIONS + partition) % KEYS;
    let (key, partition) = (key.to_string(), i32::try_from(partition));
    let record = BaseRecord::to(topic)
        .key(&key)
        .payload(&payload[..])
        .partition(partition.expect("a small number"));
    producer
        .send(record)
        .map_err(|(error, _)| error)
        .expect("enqueued");
}
