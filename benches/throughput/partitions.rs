//! 1 000 partitions in one consumer: how soon all are read, what they cost while nothing comes, and
//! what memory a backlog takes while the handler stands still.

use std::{
    convert::Infallible,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use kafka_tower::{ConsumerRecord, ConsumerSettings};
use rdkafka::{Message, consumer::BaseConsumer};
use tokio::{
    sync::{Notify, Semaphore},
    time::sleep,
};
use tower::service_fn;

use crate::{
    consumers::{BASE, Reader, TOWER, poll, tower},
    process::{give_memory_back, resident_mib},
    progress::Progress,
    report::{Clock, Report},
    run::{Run, in_time, skipped},
};

const BACKLOG: usize = 300 << 20;
const BYTES: usize = 1 << 10;
const MAX_BYTES: usize = 64 << 20;
/// After the last record and before the idle time: commits are on their way.
const SETTLE: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(5);
/// The handler stands still until the memory has not grown by 1 MiB for so long …
const SETTLED: Duration = Duration::from_secs(10);
/// … and no longer than this.
const BLOCKED: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

pub(crate) async fn run(run: &Run) -> Report {
    if run.kafka.embedded().is_some() {
        return skipped("partitions");
    }
    let partitions = run.records(1_000);
    let few = run.preload(partitions, 1, 100).await;
    let each = (BACKLOG / BYTES).div_ceil(partitions);
    let many = run.preload(partitions, each, BYTES).await;
    let (few, many) = (Reader::new(run, &few), Reader::new(run, &many));
    run.compare("partitions", &[BASE, TOWER], async |subject| {
        in_time(subject, async {
            let progress = Arc::new(Progress::new(partitions, 1));
            let (idle, mib) = match subject {
                BASE => (
                    raw_idle(&few, Arc::clone(&progress)).await,
                    raw_blocked(&many).await,
                ),
                _ => (
                    idle(&few, partitions, &progress).await,
                    blocked(&many, partitions).await,
                ),
            };
            let sample = progress.sample(subject);
            let assigned = sample.wall.as_secs_f64() * 1e3;
            sample
                .with("assigned_ms", assigned)
                .with("idle_cpu_percent", idle)
                .with("rss_mib", mib)
        })
        .await
    })
    .await
}

fn percent(clock: &Clock) -> f64 {
    let (wall, cpu) = clock.elapsed();
    cpu.as_secs_f64() / wall.as_secs_f64() * 100.0
}

fn settings(reader: &Reader, partitions: usize) -> ConsumerSettings {
    let settings = reader.settings().max_bytes(MAX_BYTES);
    settings.expected_partitions(partitions)
}

async fn raw_idle(reader: &Reader, progress: Arc<Progress>) -> f64 {
    progress.begin();
    let work = move |consumer: &BaseConsumer| {
        poll(consumer, |record| progress.handled(record.partition()));
        let poll_for = |time: Duration| {
            let end = Instant::now() + time;
            while let Some(left) = end.checked_duration_since(Instant::now()) {
                assert!(consumer.poll(left).is_none(), "no record is left");
            }
        };
        poll_for(SETTLE);
        let clock = Clock::start();
        poll_for(IDLE);
        percent(&clock)
    };
    reader.base(work).await
}

async fn idle(reader: &Reader, partitions: usize, progress: &Arc<Progress>) -> f64 {
    progress.begin();
    let counter = Arc::clone(progress);
    let service = service_fn(move |record: ConsumerRecord| {
        counter.handled(record.partition());
        std::future::ready(Ok::<_, Infallible>(()))
    });
    let mut used = 0.0;
    tower(settings(reader, partitions), service, async {
        progress.finished().await;
        sleep(SETTLE).await;
        let clock = Clock::start();
        sleep(IDLE).await;
        used = percent(&clock);
    })
    .await;
    used
}

/// How much memory is taken while everything stands still.
struct Growth {
    before: f64,
    most: f64,
    /// When it had last grown by something worth mentioning, and to what.
    grown: (Instant, f64),
    start: Instant,
}

impl Growth {
    fn new() -> Self {
        give_memory_back();
        Self {
            before: resident_mib(),
            most: 0.0,
            grown: (Instant::now(), 0.0),
            start: Instant::now(),
        }
    }

    /// Has a look, and says whether to go on.
    fn look(&mut self) -> bool {
        self.most = self.most.max(resident_mib() - self.before);
        if self.most > self.grown.1 + 1.0 {
            self.grown = (Instant::now(), self.most);
        }
        self.grown.0.elapsed() < SETTLED && self.start.elapsed() < BLOCKED
    }
}

async fn raw_blocked(reader: &Reader) -> f64 {
    let mut growth = Growth::new();
    let work = move |consumer: &BaseConsumer| {
        poll(consumer, |_| true);
        while growth.look() {
            thread::sleep(LOOK);
        }
        growth.most
    };
    reader.base(work).await
}

async fn blocked(reader: &Reader, partitions: usize) -> f64 {
    let mut growth = Growth::new();
    let gate = Arc::new(Semaphore::new(0));
    let begun = Arc::new(Notify::new());
    let service = {
        let (gate, begun) = (Arc::clone(&gate), Arc::clone(&begun));
        service_fn(move |_: ConsumerRecord| {
            let gate = Arc::clone(&gate);
            begun.notify_one();
            async move {
                let closed = gate.acquire().await.is_err();
                assert!(closed, "it has no permits");
                Ok::<_, Infallible>(())
            }
        })
    };
    tower(settings(reader, partitions), service, async {
        begun.notified().await;
        while growth.look() {
            sleep(LOOK).await;
        }
        gate.close();
    })
    .await;
    growth.most
}
