//! What a router costs: a handler with `Json` beside closures that read the JSON themselves, and one
//! that doesn't.

use std::{convert::Infallible, future::ready, hint::black_box, sync::Arc};

use kafka_tower::{
    BoxError, ConsumerRecord, Ordering, Router,
    extract::{Json, Partition},
};
use serde::{Deserialize, Serialize};
use tower::service_fn;

use crate::{
    consumers::{Reader, tower},
    progress::Progress,
    report::{Report, Sample},
    run::{Run, in_time},
};

const SERDE: &str = "closure, serde";
const CLOSURE: &str = "closure";
const ROUTER: &str = "Router, Json";

const PARTITIONS: usize = 4;
/// The embedded broker drops what is above 5 MB in a partition.
const MOST_EMBEDDED: usize = 30_000;

#[derive(Serialize, Deserialize)]
struct Order {
    id: u64,
    customer: String,
    item: String,
    quantity: u32,
    price: f64,
}

pub(crate) async fn run(run: &Run) -> Report {
    let order = Order {
        id: 4_711,
        customer: "customer-42".to_owned(),
        item: "a pound of tea".to_owned(),
        quantity: 3,
        price: 12.5,
    };
    let payload = serde_json::to_vec(&order).expect("JSON");
    let wanted = run.records(1_000_000).div_ceil(PARTITIONS).max(1);
    let each = match run.kafka.embedded() {
        Some(_) => wanted.min(MOST_EMBEDDED * 2 / 3),
        None => wanted,
    };
    let topic = run.preload_with(PARTITIONS, each * 3 / 2, &payload).await;
    let reader = Reader::new(run, &topic);
    run.compare("router", &[SERDE, CLOSURE, ROUTER], async |subject| {
        let mut sum: Option<Sample> = None;
        for _ in 0..wanted.div_ceil(each) {
            let sample = in_time(subject, read_all(&reader, &topic, subject, each)).await;
            sum = Some(match sum {
                Some(sum) => sum.and(&sample),
                None => sample,
            });
        }
        sum.expect("one pass or more")
    })
    .await
}

async fn read_all(reader: &Reader, topic: &str, subject: &'static str, each: usize) -> Sample {
    let progress = Arc::new(Progress::new(PARTITIONS, each));
    let counter = Arc::clone(&progress);
    let settings = reader.settings().ordering(Ordering::Key);
    let end = progress.finished();
    match subject {
        SERDE => {
            let service = service_fn(move |record: ConsumerRecord| {
                let payload = record.payload().unwrap_or_default();
                let order = serde_json::from_slice::<Order>(payload);
                counter.handled(record.partition());
                ready(order.map(|order| drop(black_box(order))))
            });
            tower(settings, service, end).await;
        }
        CLOSURE => {
            let service = service_fn(move |record: ConsumerRecord| {
                counter.handled(record.partition());
                ready(Ok::<_, Infallible>(()))
            });
            tower(settings, service, end).await;
        }
        _ => {
            let handler = async move |Partition(partition): Partition, Json(order): Json<Order>| {
                drop(black_box(order));
                counter.handled(partition);
                Ok::<_, BoxError>(())
            };
            tower(settings, Router::new().topic(topic, handler), end).await;
        }
    }
    progress.sample(subject)
}
