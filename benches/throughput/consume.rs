//! Consuming as fast as it goes: a no-op for each record, offsets committed.

use std::{convert::Infallible, future::ready, sync::Arc};

use kafka_tower::{ConsumerRecord, Ordering};
use rdkafka::Message;
use tower::service_fn;

use crate::{
    consumers::{BASE, Reader, STREAM, TOWER, poll, tower},
    progress::Progress,
    report::{Report, Sample},
    run::{Run, in_time},
};

const PARTITIONS: usize = 4;
const BYTES: usize = 100;
/// The embedded broker drops what is above 5 MB in a partition.
const MOST_EMBEDDED: usize = 40_000;

pub(crate) async fn run(run: &Run) -> Report {
    let wanted = run.records(1_000_000).div_ceil(PARTITIONS).max(1);
    // Half as many again are there: at the end of a partition a fetch may wait for 500 ms, and with
    // it the other partitions of its broker.
    let each = match run.kafka.embedded() {
        Some(_) => wanted.min(MOST_EMBEDDED * 2 / 3),
        None => wanted,
    };
    let topic = run.preload(PARTITIONS, each * 3 / 2, BYTES).await;
    let reader = Reader::new(run, &topic);
    run.compare("consume", &[BASE, STREAM, TOWER], async |subject| {
        let mut sum: Option<Sample> = None;
        for _ in 0..wanted.div_ceil(each) {
            let sample = in_time(subject, read_all(&reader, subject, each)).await;
            sum = Some(match sum {
                Some(sum) => sum.and(&sample),
                None => sample,
            });
        }
        sum.expect("one pass or more")
    })
    .await
}

/// With a group of its own, from the first record seen until each partition is read that far.
async fn read_all(reader: &Reader, subject: &'static str, each: usize) -> Sample {
    let progress = Arc::new(Progress::new(PARTITIONS, each));
    let counter = Arc::clone(&progress);
    match subject {
        BASE => {
            let work = move |consumer: &_| {
                poll(consumer, |record| counter.handled(record.partition()));
            };
            reader.base(work).await;
        }
        STREAM => {
            reader
                .stream(move |record| counter.handled(record.partition()))
                .await;
        }
        _ => {
            let service = service_fn(move |record: ConsumerRecord| {
                counter.handled(record.partition());
                ready(Ok::<_, Infallible>(()))
            });
            let settings = reader.settings().ordering(Ordering::Key);
            tower(settings, service, progress.finished()).await;
        }
    }
    progress.sample(subject)
}
