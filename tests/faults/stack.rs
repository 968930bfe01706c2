//! A worker with layers: dead letters and retry around handlers that meet trouble.

use std::{sync::Arc, time::Duration};

use kafka_tower::{
    Backoff, BoxError, Classified, Consumer, ConsumerRecord, ProducerSettings, Publisher,
    layers::{DeadLetter, ServiceBuilderExt},
    serve,
};
use tower::{ServiceBuilder, service_fn};

use crate::{
    job::{Job, Trouble, is_poison},
    ledger::now,
    payload::Id,
    worker::{Work, settings},
};

/// The suffix of the dead-letter topic.
pub(crate) const DEAD: &str = ".dlq";
/// Shorter than the topic is without a leader.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) async fn consume(
    trouble: Trouble,
    job: Job,
    terminated: impl Future<Output = ()> + Send + 'static,
) -> Result<String, BoxError> {
    let producer = ProducerSettings::high_reliability(&job.brokers)
        .delivery_timeout(DELIVERY_TIMEOUT)
        .set("reconnect.backoff.max.ms", "500");
    let publisher = Publisher::new(producer)?;
    let backoff = match trouble {
        Trouble::Hour(_) => Backoff::constant(Duration::from_secs(3600)),
        Trouble::Poison | Trouble::Down(_) => Backoff::constant(Duration::from_millis(500)),
    };
    let consumer = Consumer::with_settings(settings(&job))?;
    let group = job.group.clone();
    let work = Arc::new(Work::new(job)?);
    let handler = move |record: ConsumerRecord| {
        let (work, start) = (Arc::clone(&work), now());
        let handled = handle(&trouble, &record);
        async move {
            // What waits for its next attempt isn't handled yet.
            if !matches!(handled, Handled::NotYet(_)) {
                work.note(&record, start);
            }
            match handled {
                Handled::Yes => Ok(()),
                Handled::NotYet(error) | Handled::Never(error) => Err(error),
            }
        }
    };
    let stack = ServiceBuilder::new()
        .dead_letter(DeadLetter::to(publisher).suffix(DEAD).group(group))
        .retry_with(backoff)
        .catch_panic()
        .service(service_fn(handler));
    let summary = serve(consumer, stack)
        .with_graceful_shutdown(terminated)
        .await?;
    Ok(summary.to_string())
}

enum Handled {
    Yes,
    NotYet(BoxError),
    Never(BoxError),
}

fn handle(trouble: &Trouble, record: &ConsumerRecord) -> Handled {
    let Ok(id) = Id::read(record.key(), record.payload()) else {
        return Handled::Yes;
    };
    match trouble {
        Trouble::Poison if is_poison(id) => {
            Handled::Never(Classified::non_retriable("poison").into())
        }
        Trouble::Down(file) if !file.exists() => {
            Handled::NotYet(Classified::unavailable("the database is down").into())
        }
        Trouble::Hour(keys) if id.key < *keys => Handled::NotYet("not now".into()),
        Trouble::Poison | Trouble::Down(_) | Trouble::Hour(_) => Handled::Yes,
    }
}
