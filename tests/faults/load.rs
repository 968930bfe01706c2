//! The producer: publishes numbered records, and notes each acknowledgement.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use kafka_tower::{
    BoxError, Delivery, ProducerRecord, ProducerSettings, PublishError, PublishExt, Publisher,
};
use tokio::{
    runtime::Runtime,
    select,
    task::JoinHandle,
    time::{interval, timeout},
};
use tower::{Service, ServiceExt};

use crate::{harness::Result, payload::Id, verify::Ack};

const TASKS: u32 = 2;
const TICK: Duration = Duration::from_millis(10);
/// Longer than a partition is ever without a leader here.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) topic: String,
    pub(crate) producer: u32,
    /// The first of its keys, and how many follow each other.
    pub(crate) first_key: u32,
    pub(crate) keys: u32,
    /// Records a second; without, as fast as it goes.
    pub(crate) rate: Option<u32>,
    /// When to stop; without, when told to.
    pub(crate) total: Option<u32>,
    pub(crate) size: usize,
}

/// What was published, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Published {
    pub(crate) acks: Vec<Ack>,
    pub(crate) failed: Vec<String>,
}

/// Publishers at work.
#[derive(Debug)]
pub(crate) struct Load {
    publisher: Publisher,
    stop: Arc<AtomicBool>,
    acked: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<io::Result<Published>>>,
}

impl Load {
    /// Each acknowledgement also becomes a line of a file in `dir`.
    pub(crate) fn start(runtime: &Runtime, brokers: &str, spec: &Spec, dir: &Path) -> Result<Self> {
        let settings = ProducerSettings::high_reliability(brokers)
            .without_message_id_header()
            .delivery_timeout(DELIVERY_TIMEOUT)
            .set("socket.timeout.ms", "5000")
            .set("reconnect.backoff.max.ms", "500");
        let publisher = Publisher::new(settings)?;
        let stop = Arc::new(AtomicBool::new(false));
        let acked = Arc::new(AtomicUsize::new(0));
        let tasks = (0..TASKS.min(spec.keys)).map(|task| {
            let file = format!("acknowledged-{}-{task}", spec.producer);
            runtime.spawn(publish(
                publisher.clone(),
                spec.clone(),
                task,
                Arc::clone(&stop),
                Arc::clone(&acked),
                dir.join(file),
            ))
        });
        Ok(Self {
            tasks: tasks.collect(),
            publisher,
            stop,
            acked,
        })
    }

    pub(crate) fn acked(&self) -> usize {
        self.acked.load(SeqCst)
    }

    /// Stops it, and waits until all that it published came to an end.
    pub(crate) fn finish(self, runtime: &Runtime) -> Result<Published> {
        self.stop.store(true, SeqCst);
        self.drain(runtime)
    }

    /// Waits until all of a limited number came to an end.
    pub(crate) fn drain(self, runtime: &Runtime) -> Result<Published> {
        let mut published = Published::default();
        for task in self.tasks {
            let ended = async { timeout(DELIVERY_TIMEOUT * 3, task).await };
            let part = runtime.block_on(ended)???;
            published.acks.extend(part.acks);
            published.failed.extend(part.failed);
        }
        let closed = runtime.block_on(self.publisher.close(DELIVERY_TIMEOUT));
        match closed.undelivered.len() {
            0 => Ok(published),
            left => Err(format!("{left} records have no report").into()),
        }
    }
}

type Sent = (Id, std::result::Result<Delivery, PublishError>);

struct Task {
    published: Published,
    log: BufWriter<File>,
    acked: Arc<AtomicUsize>,
}

impl Task {
    fn note(&mut self, (id, result): Sent) -> io::Result<()> {
        match result {
            Ok(delivery) => {
                let Id { producer, key, seq } = id;
                let (partition, offset) = (delivery.partition, delivery.offset);
                writeln!(
                    self.log,
                    "{producer} {key} {seq} {partition} {}",
                    offset.unwrap_or(-1)
                )?;
                self.published.acks.push(Ack {
                    id,
                    partition,
                    offset,
                });
                self.acked.fetch_add(1, SeqCst);
            }
            Err(error) => self.published.failed.push(format!("{id:?}: {error}")),
        }
        Ok(())
    }
}

async fn publish(
    mut publisher: Publisher,
    spec: Spec,
    number: u32,
    stop: Arc<AtomicBool>,
    acked: Arc<AtomicUsize>,
    log: PathBuf,
) -> io::Result<Published> {
    let tasks = TASKS.min(spec.keys);
    let share = |all: u32| all / tasks + u32::from(number < all % tasks);
    // Its own keys are those that leave its number as the remainder.
    let keys = share(spec.keys);
    let total = spec.total.map_or(u32::MAX, share);
    let a_tick = spec.rate.map(|rate| share(rate / 100).max(1));
    let mut task = Task {
        published: Published::default(),
        log: BufWriter::new(File::create(log)?),
        acked,
    };
    let mut pace = interval(TICK);
    let mut under_way = FuturesUnordered::new();
    let mut sent = 0;
    while sent < total && !stop.load(SeqCst) {
        for _ in 0..a_tick.unwrap_or(64).min(total - sent) {
            let id = Id {
                producer: spec.producer,
                key: spec.first_key + number + tasks * (sent % keys),
                seq: sent / keys,
            };
            sent += 1;
            while publisher.ready().now_or_never().is_none() {
                select! {
                    Some(done) = under_way.next() => task.note(done)?,
                    ready = publisher.ready() => {
                        ready.map_err(io::Error::other)?;
                        break;
                    }
                }
            }
            let record = ProducerRecord::to(spec.topic.as_str())
                .key(id.key_text())
                .payload(id.payload(spec.size));
            under_way.push(publisher.call(record).map(move |result| (id, result)));
        }
        while let Some(Some(done)) = under_way.next().now_or_never() {
            task.note(done)?;
        }
        if a_tick.is_some() {
            pace.tick().await;
        }
    }
    while let Some(done) = under_way.next().await {
        task.note(done)?;
    }
    task.log.flush()?;
    Ok(task.published)
}

/// Publishes records one after the other, each acknowledged before the next.
pub(crate) fn publish_each(
    runtime: &Runtime,
    brokers: &str,
    topic: &str,
    ids: impl IntoIterator<Item = Id>,
) -> Result<Published> {
    let settings = ProducerSettings::low_latency(brokers).without_message_id_header();
    let publisher = Publisher::new(settings)?;
    let mut published = Published::default();
    runtime.block_on(async {
        for id in ids {
            let record = ProducerRecord::to(topic)
                .key(id.key_text())
                .payload(id.payload(100));
            let delivery = publisher.send(record).await?;
            published.acks.push(Ack {
                id,
                partition: delivery.partition,
                offset: delivery.offset,
            });
        }
        Ok::<_, BoxError>(())
    })?;
    Ok(published)
}
