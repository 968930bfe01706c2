//! A handler that stands still for 2 s, and how soon everything runs again.
//!
//! kafka-tower's handler awaits a gate; the raw consumer pauses all partitions, polls on, and
//! resumes them.

use std::{
    convert::Infallible,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use kafka_tower::ConsumerRecord;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::{
    sync::{Notify, Semaphore},
    time::sleep,
};
use tower::service_fn;

use crate::{
    consumers::{BASE, Reader, TOWER, poll, tower},
    report::{Clock, Report, Sample},
    run::{Run, in_time},
};

const PARTITIONS: usize = 4;
const BYTES: usize = 100;
/// As many as the embedded broker keeps, and more than are read: see `consume`.
const EACH: usize = 40_000;
/// How many are handled before the stall.
const BEFORE: usize = 10_000;
const STALL: Duration = Duration::from_secs(2);
/// How many records after the stall count as running again.
const RESUMED: usize = 20_000;
/// As much as a consumer may hold in memory, and what came for certain after that.
const MAX_BYTES: usize = 4 << 20;
const BEYOND: usize = MAX_BYTES / BYTES + 1_000;
const TOTAL: usize = BEFORE + BEYOND;

pub(crate) async fn run(run: &Run) -> Report {
    let topic = run.preload(PARTITIONS, EACH, BYTES).await;
    let reader = Reader::new(run, &topic);
    run.compare("stall", &[BASE, TOWER], async |subject| {
        let stall = Arc::new(Stall::new());
        in_time(subject, async {
            match subject {
                BASE => raw(&reader, Arc::clone(&stall)).await,
                _ => ours(&reader, &stall).await,
            }
        })
        .await;
        stall.sample(subject)
    })
    .await
}

/// When each record was handled, from the end of the stall.
struct Stall {
    clock: OnceLock<Clock>,
    resumed: OnceLock<(Duration, Duration)>,
    handled: AtomicUsize,
    nanos: Box<[AtomicU64]>,
    done: Notify,
}

impl Stall {
    fn new() -> Self {
        Self {
            clock: OnceLock::new(),
            resumed: OnceLock::new(),
            handled: AtomicUsize::new(0),
            nanos: (0..TOTAL).map(|_| AtomicU64::new(0)).collect(),
            done: Notify::new(),
        }
    }

    /// The stall is over.
    fn end(&self) {
        assert!(self.clock.set(Clock::start()).is_ok(), "one end");
    }

    /// How many records are handled, with this one.
    fn handled(&self) -> usize {
        let index = self.handled.fetch_add(1, Ordering::Relaxed);
        if let (Some(clock), Some(cell)) = (self.clock.get(), self.nanos.get(index)) {
            let nanos = u64::try_from(clock.wall().as_nanos()).expect("less than centuries");
            cell.store(nanos, Ordering::Relaxed);
            if index + 1 == BEFORE + RESUMED {
                let _ = self.resumed.set(clock.elapsed());
            }
        }
        if index + 1 == TOTAL {
            self.done.notify_one();
        }
        index + 1
    }

    fn sample(&self, subject: &'static str) -> Sample {
        let (wall, cpu) = *self.resumed.get().expect("resumed");
        let mut times: Vec<Duration> = self.nanos[BEFORE..]
            .iter()
            .map(|nanos| Duration::from_nanos(nanos.load(Ordering::Acquire)))
            .collect();
        times.sort_unstable();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        let gap = gaps.max().unwrap_or_default().max(times[0]);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        Sample::new(subject, RESUMED, wall, cpu)
            .with("first_ms", ms(times[0]))
            .with("resume_ms", ms(wall))
            .with("beyond_ms", ms(times[BEYOND - 1]))
            .with("longest_gap_ms", ms(gap))
    }
}

async fn raw(reader: &Reader, stall: Arc<Stall>) {
    let mut reader = reader.clone();
    let each = MAX_BYTES / PARTITIONS / 1024;
    reader.set("queued.max.messages.kbytes", &each.to_string());
    let work = move |consumer: &BaseConsumer| {
        poll(consumer, |_| stall.handled() == BEFORE);
        let all = consumer.assignment().expect("an assignment");
        consumer.pause(&all).expect("paused");
        let end = Instant::now() + STALL;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let record = consumer.poll(left);
            assert!(record.is_none(), "all is paused");
        }
        stall.end();
        consumer.resume(&all).expect("resumed");
        poll(consumer, |_| stall.handled() == TOTAL);
    };
    reader.base(work).await;
}

async fn ours(reader: &Reader, stall: &Arc<Stall>) {
    let gate = Arc::new(Semaphore::new(BEFORE));
    let stalled = Arc::new(Notify::new());
    let service = {
        let (stall, gate, stalled) = (Arc::clone(stall), Arc::clone(&gate), Arc::clone(&stalled));
        service_fn(move |_: ConsumerRecord| {
            let (stall, gate) = (Arc::clone(&stall), Arc::clone(&gate));
            let stalled = Arc::clone(&stalled);
            async move {
                // Closed, it is open for all.
                if let Ok(permit) = gate.acquire().await {
                    permit.forget();
                }
                if stall.handled() == BEFORE {
                    stalled.notify_one();
                }
                Ok::<_, Infallible>(())
            }
        })
    };
    let settings = reader.settings();
    let settings = settings
        .max_bytes(MAX_BYTES)
        .expected_partitions(PARTITIONS);
    tower(settings, service, async {
        stalled.notified().await;
        sleep(STALL).await;
        stall.end();
        gate.close();
        stall.done.notified().await;
    })
    .await;
}
