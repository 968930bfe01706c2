//! What the usual layers cost: a no-op by itself, and inside of trace, metrics, dead letters, retry and
//! catch-panic. No subscriber; metrics by an SDK that Prometheus could ask.

use std::{convert::Infallible, future::ready, sync::Arc};

use kafka_tower::{
    Backoff, ConsumerRecord, Ordering, ProducerSettings, Publisher,
    layers::{DeadLetter, ServiceBuilderExt},
    otel::OtelMetrics,
};
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use tower::{ServiceBuilder, service_fn};

use crate::{
    consumers::{Reader, tower},
    progress::Progress,
    report::{Report, Sample},
    run::{Run, in_time},
};

const CLOSURE: &str = "closure";
const STACK: &str = "consuming(closure)";

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
    run.compare("consume-stack", &[CLOSURE, STACK], async |subject| {
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
    })
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
    if subject == CLOSURE {
        tower(settings, handler, progress.finished()).await;
    } else {
        let exporter = opentelemetry_prometheus::exporter();
        let exporter = exporter.with_registry(prometheus::Registry::new());
        let provider = SdkMeterProvider::builder()
            .with_reader(exporter.build().expect("an exporter"))
            .build();
        let meter = provider.meter("bench");
        let metrics = OtelMetrics::builder().meter(meter).build();
        let stack = ServiceBuilder::new()
            .consuming(metrics, letters.clone(), Backoff::default())
            .service(handler);
        tower(settings, stack, progress.finished()).await;
    }
    progress.sample(subject)
}
