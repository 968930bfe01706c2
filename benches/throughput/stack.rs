//! What the usual layers cost: a no-op by itself, and inside of trace, metrics, dead letters, retry and
//! catch-panic. No subscriber; metrics by an SDK, or none.

use std::{convert::Infallible, future::ready, sync::Arc};

use kafka_tower::{
    Backoff, ConsumerRecord, Ordering, ProducerSettings, Publisher,
    layers::{DeadLetter, ServiceBuilderExt},
    otel::OtelMetrics,
};
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::{ManualReader, SdkMeterProvider};
use tower::{ServiceBuilder, service_fn};

use crate::{
    consumers::{Reader, tower},
    progress::Progress,
    report::{Report, Sample},
    run::{Run, in_time},
};

const CLOSURE: &str = "closure";
const UNMEASURED: &str = "consuming(())";
const MEASURED: &str = "consuming(metrics)";

const PARTITIONS: usize = 4;
/// The embedded broker drops what is above 5 MB in a partition.
const MOST_EMBEDDED: usize = 40_000;

pub(crate) async fn run(run: &Run) -> Report {
    let wanted = run.records(1_000_000).div_ceil(PARTITIONS).max(1);
    let each = match run.kafka.embedded() {
        Some(_) => wanted.min(MOST_EMBEDDED * 2 / 3),
        None => wanted,
    };
    let topic = run.preload(PARTITIONS, each * 3 / 2, 100).await;
    let reader = Reader::new(run, &topic);
    let settings = ProducerSettings::high_reliability(run.kafka.bootstrap_servers());
    let letters = DeadLetter::to(Publisher::new(settings).expect("a publisher"));
    run.compare(
        "consume-stack",
        &[CLOSURE, UNMEASURED, MEASURED],
        async |subject| {
            let mut sum: Option<Sample> = None;
            for _ in 0..wanted.div_ceil(each) {
                let pass = read_all(&reader, subject, each, &letters);
                let sample = in_time(subject, pass).await;
                sum = Some(match sum {
                    Some(sum) => sum.and(&sample),
                    None => sample,
                });
            }
            sum.expect("one pass or more")
        },
    )
    .await
}

async fn read_all(
    reader: &Reader,
    subject: &'static str,
    each: usize,
    letters: &DeadLetter<Publisher>,
) -> Sample {
    let progress = Arc::new(Progress::new(PARTITIONS, each));
    let counter = Arc::clone(&progress);
    let handler = service_fn(move |record: ConsumerRecord| {
        counter.handled(record.partition());
        ready(Ok::<_, Infallible>(()))
    });
    let settings = reader.settings().ordering(Ordering::Key);
    let (letters, end) = (letters.clone(), progress.finished());
    match subject {
        CLOSURE => tower(settings, handler, end).await,
        UNMEASURED => {
            let stack = ServiceBuilder::new().consuming((), letters, Backoff::default());
            tower(settings, stack.service(handler), end).await;
        }
        _ => {
            let reader = ManualReader::builder().build();
            let provider = SdkMeterProvider::builder().with_reader(reader).build();
            let metrics = OtelMetrics::builder().meter(provider.meter("bench"));
            let stack = ServiceBuilder::new();
            let stack = stack.consuming(metrics.build(), letters, Backoff::default());
            tower(settings, stack.service(handler), end).await;
        }
    }
    progress.sample(subject)
}
