//! A handler that waits for 5 ms, 256 at once.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use kafka_tower::{ConsumerRecord, Ordering};
use tokio::{task::JoinSet, time::sleep};
use tower::service_fn;

use crate::{
    consumers::{Reader, TOWER, tower},
    progress::Progress,
    report::{Clock, Report, Sample},
    run::{Run, in_time},
};

/// The same load without Kafka, which is as good as it gets: tokio's timer ticks once a millisecond.
const TASKS: &str = "tokio tasks";

const PARTITIONS: usize = 4;
const IN_FLIGHT: usize = 256;
const HANDLER: Duration = Duration::from_millis(5);

pub(crate) async fn run(run: &Run) -> Report {
    let each = run.records(40_000).div_ceil(PARTITIONS).max(1);
    let topic = run.preload(PARTITIONS, each, 100).await;
    let reader = Reader::new(run, &topic);
    run.compare("handler", &[TASKS, TOWER], async |subject| {
        in_time(subject, async {
            match subject {
                TASKS => tasks(each * PARTITIONS).await,
                _ => ours(&reader, each).await,
            }
        })
        .await
    })
    .await
}

async fn tasks(records: usize) -> Sample {
    let next = Arc::new(AtomicUsize::new(0));
    let clock = Clock::start();
    let mut tasks = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let next = Arc::clone(&next);
        tasks.spawn(async move {
            while next.fetch_add(1, Relaxed) < records {
                sleep(HANDLER).await;
            }
        });
    }
    tasks.join_all().await;
    clock.sample(TASKS, records)
}

async fn ours(reader: &Reader, each: usize) -> Sample {
    let progress = Arc::new(Progress::new(PARTITIONS, each));
    let counter = Arc::clone(&progress);
    let service = service_fn(move |record: ConsumerRecord| {
        let counter = Arc::clone(&counter);
        async move {
            counter.begin();
            sleep(HANDLER).await;
            counter.handled(record.partition());
            Ok::<_, Infallible>(())
        }
    });
    let settings = reader.settings().ordering(Ordering::Key);
    let settings = settings.max_in_flight(IN_FLIGHT);
    tower(settings, service, progress.finished()).await;
    progress.sample(TOWER)
}
