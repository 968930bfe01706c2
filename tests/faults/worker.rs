//! A worker process: kafka-tower's consumer, as a service would use it.

use std::{
    future::pending,
    io::{self, Write},
    panic::AssertUnwindSafe,
    process::{ExitCode, abort},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use kafka_tower::{
    AssignmentStrategy, BoxError, Consumer, ConsumerRecord, ConsumerSettings, Ordering, Outcome,
    serve,
};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    time::{interval, sleep},
};
use tower::{ServiceBuilder, ServiceExt, service_fn};

use crate::{
    job::{Behaviour, Inside, Job, Protocol, hangs, panics},
    ledger::{Ledger, Line, now},
    payload::Id,
    stack, wrong,
};

/// Runs until SIGTERM, or until the consumer fails.
pub(crate) fn run(job: &str) -> ExitCode {
    let job: Job = serde_json::from_str(job).expect("a job");
    tracing_subscriber::fmt()
        .with_env_filter("kafka_tower=debug,librdkafka=info")
        .with_ansi(false)
        .with_writer(io::stderr)
        .init();
    let runtime = Runtime::new().expect("a runtime");
    let ended = runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate()).expect("a signal");
        let terminated = async move {
            terminated.recv().await;
        };
        // Whoever started this waits for it: from here on SIGTERM ends it gracefully.
        writeln!(io::stdout(), "ready").expect("someone listens");
        match job.inside {
            Inside::KafkaTower => consume(job, terminated).await,
            Inside::Stack(ref trouble) => stack::consume(trouble.clone(), job, terminated).await,
            Inside::Wrong(how) => wrong::consume(how, job, terminated).await,
        }
    });
    // A handler that still hangs must not keep the process.
    runtime.shutdown_background();
    match ended {
        Ok(summary) => {
            tracing::info!(target: "kafka_tower", "{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(target: "kafka_tower", "{error}: {:?}", error.source());
            ExitCode::FAILURE
        }
    }
}

async fn consume(
    job: Job,
    terminated: impl Future<Output = ()> + Send + 'static,
) -> Result<String, BoxError> {
    let consumer = Consumer::with_settings(settings(&job))?;
    let work = Arc::new(Work::new(job)?);
    let handler = ServiceBuilder::new()
        .timeout(work.job.timeout)
        .service(service_fn({
            let work = Arc::clone(&work);
            move |record| behave(Arc::clone(&work), record)
        }));
    let service = service_fn(move |record: ConsumerRecord| {
        let (work, handler) = (Arc::clone(&work), handler.clone());
        async move {
            let start = now();
            let handled = AssertUnwindSafe(handler.oneshot(record.clone())).catch_unwind();
            // Hung or panicked: skipped.
            let outcome = handled.await.unwrap_or(Ok(Outcome::Skip));
            work.note(&record, start);
            Ok::<_, BoxError>(outcome.unwrap_or(Outcome::Skip))
        }
    });
    let summary = serve(consumer, service)
        .with_graceful_shutdown(terminated)
        .await?;
    Ok(summary.to_string())
}

pub(crate) fn settings(job: &Job) -> ConsumerSettings {
    let settings = ConsumerSettings::new(&job.brokers, &job.group)
        .topics([&job.topic])
        .client_id(format!("worker-{}", job.worker))
        .ordering(Ordering::Key)
        .max_in_flight(job.max_in_flight)
        .max_bytes(job.max_bytes)
        .commit_interval(job.commit_interval)
        .drain_timeout(job.drain)
        .max_poll_interval(job.max_poll_interval)
        // Both ways, where there are several workers.
        .spawn_handlers(job.worker % 2 == 1);
    let settings = match job.protocol {
        Protocol::Range => settings.assignment_strategy(AssignmentStrategy::Range),
        Protocol::Cooperative => settings,
        Protocol::Consumer => settings.set("group.protocol", "consumer"),
    };
    // Under the new protocol both times are the broker's to set.
    let settings = match job.protocol {
        Protocol::Consumer => settings,
        Protocol::Range | Protocol::Cooperative => settings
            .session_timeout(job.session)
            .set("heartbeat.interval.ms", "300"),
    };
    let set = job.set.iter();
    set.fold(settings, |settings, (name, value)| {
        settings.set(name, value)
    })
}

/// What the handlers share.
pub(crate) struct Work {
    job: Job,
    ledger: Ledger,
}

impl Work {
    pub(crate) fn new(job: Job) -> io::Result<Self> {
        let ledger = Ledger::open(&job.ledger)?;
        Ok(Self { job, ledger })
    }

    /// Writes down that a record is handled. It is read only now, so a payload whose memory went to
    /// another one meanwhile is found out.
    pub(crate) fn note(&self, record: &ConsumerRecord, start: u64) {
        let (partition, offset) = (record.partition(), record.offset());
        match Id::read(record.key(), record.payload()) {
            Ok(id) => self.ledger.handled(&Line {
                partition,
                offset,
                id,
                worker: self.job.worker,
                start,
                end: now(),
                attempt: record.attempt(),
            }),
            Err(what) => self.ledger.damaged(partition, offset, what),
        }
    }
}

async fn behave(work: Arc<Work>, record: ConsumerRecord) -> Result<Outcome, BoxError> {
    // A damaged one is noted as such when it is done.
    let Ok(id) = Id::read(record.key(), record.payload()) else {
        return Ok(Outcome::Skip);
    };
    match &work.job.behaviour {
        // Even no time at all would last until the timer's next tick.
        Behaviour::Sleep(Duration::ZERO) => {}
        Behaviour::Sleep(time) => sleep(*time).await,
        Behaviour::Faulty(_) if hangs(id.key) => pending().await,
        Behaviour::Faulty(_) if panics(id.key) => panic!("as it was told to"),
        Behaviour::Faulty(time) => sleep(*time).await,
        Behaviour::Gate(path) => {
            let mut often = interval(Duration::from_millis(100));
            while !path.exists() {
                often.tick().await;
            }
        }
        Behaviour::Abort { key, seq, before } if (*key, *seq) == (id.key, id.seq) => {
            match record.attempt() < *before {
                true => abort(),
                false => return Ok(Outcome::Skip),
            }
        }
        Behaviour::Stuck { key, seq } if (*key, *seq) == (id.key, id.seq) => pending().await,
        Behaviour::Abort { .. } | Behaviour::Stuck { .. } => {}
    }
    Ok(Outcome::Ack)
}
