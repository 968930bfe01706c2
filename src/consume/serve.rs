use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use tokio::{runtime::Handle, select, sync::oneshot, time::timeout};

use super::{App, Consumer, ServeError, Summary, control::Control, driver, lane};
use crate::{
    client::topic_name,
    error::{ConfigError, ErrorClass},
};

/// How long leaving the group may hold up the result.
const LEAVE_TIME: Duration = Duration::from_secs(10);

/// Consumes records and hands each to the app, until the app, the shutdown signal or an error ends
/// it.
///
/// Each assigned partition is a lane: a clone of the service of its own, driven one record at a
/// time in offset order. An offset is committed only when its record, and every one before it, is
/// complete. A record that failed and that no layer handled stops everything: it is never skipped
/// silently.
///
/// Nothing happens until the result is awaited.
///
/// # Errors
///
/// See [`ServeError`]. Unreachable brokers are no error: the consumer keeps trying and logs it.
///
/// # Panics
///
/// The future panics outside a tokio runtime; the runtime has to have its timers enabled.
///
/// # Cancel safety
///
/// Dropping the future drops every running service call and what waits, then commits what is
/// complete and leaves the group on a thread of its own. Nothing is lost; what was cut off is
/// handled again by whoever gets the partition. Prefer
/// [`with_graceful_shutdown`](Serve::with_graceful_shutdown), which lets running calls finish.
///
/// # Example
///
/// ```no_run
/// use kafka_tower::{BoxError, Consumer, ConsumerRecord, ConsumerSettings, serve};
///
/// # async fn run() -> Result<(), BoxError> {
/// let settings = ConsumerSettings::new("localhost:9092", "order-service").topics(["orders"]);
/// let service = tower::service_fn(async |record: ConsumerRecord| {
///     println!("{record:?}");
///     Ok::<_, BoxError>(())
/// });
/// let summary = serve(Consumer::with_settings(settings)?, service)
///     .with_graceful_shutdown(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
///     .await?;
/// println!("{summary}");
/// # Ok(())
/// # }
/// ```
pub fn serve<A: App>(consumer: Consumer, app: A) -> Serve<A> {
    Serve {
        consumer,
        app,
        signal: None,
    }
}

/// A consumer and its app; made by [`serve`], run by `.await`.
#[must_use = "nothing is consumed until it is awaited"]
pub struct Serve<A> {
    consumer: Consumer,
    app: A,
    signal: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<A> Serve<A> {
    /// Ends gracefully when `signal` is ready: no new dispatch, what waits for its next attempt is
    /// dropped and named in [`Summary::undone`], what runs may finish within the
    /// [`drain_timeout`](crate::ConsumerSettings::drain_timeout), and what is complete is
    /// committed before the group is left.
    pub fn with_graceful_shutdown(
        mut self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.signal = Some(Box::pin(signal));
        self
    }
}

impl<A> fmt::Debug for Serve<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("consumer", &self.consumer)
            .field("graceful_shutdown", &self.signal.is_some())
            .finish_non_exhaustive()
    }
}

impl<A: App> IntoFuture for Serve<A> {
    type Output = Result<Summary, ServeError>;
    type IntoFuture = ServeFuture;

    fn into_future(self) -> ServeFuture {
        let Self {
            consumer,
            app,
            signal,
        } = self;
        let app_topics = app.topics().unwrap_or_default();
        let make = Arc::new(app.into_make_lane());
        let spawn: driver::Spawn = Box::new(move |runtime, seat| {
            runtime.spawn(lane::run(Arc::clone(&make), seat));
        });
        ServeFuture(Box::pin(run(consumer, app_topics, spawn, signal)))
    }
}

async fn run(
    consumer: Consumer,
    app_topics: Vec<String>,
    spawn: driver::Spawn,
    signal: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
) -> Result<Summary, ServeError> {
    let topics = all_topics(&consumer, app_topics)?;
    let control = Arc::new(Control::default());
    let start = driver::Start {
        config: consumer.client_config(),
        topics,
        limits: consumer.limits(),
        control: Arc::clone(&control),
        runtime: Handle::current(),
        spawn,
    };
    let (done, mut result) = oneshot::channel();
    let (gone, left) = oneshot::channel();
    let _guard = AbandonOnDrop(Arc::clone(&control));
    thread::Builder::new()
        .name("kafka-consumer".to_owned())
        .spawn(move || driver::run(start, done, gone))
        .map_err(|error| thread_error(format!("can't start its thread: {error}")))?;
    let result = match signal {
        None => result.await,
        Some(signal) => select! {
            biased;
            result = &mut result => result,
            () = signal => {
                control.shutdown();
                result.await
            }
        },
    };
    let result = result.unwrap_or_else(|_| {
        let bug = "its thread panicked, which is a bug in kafka-tower";
        Err(thread_error(bug.to_owned()))
    });
    if timeout(LEAVE_TIME, left).await.is_err() {
        tracing::warn!(target: "kafka_tower", "leaving the group takes long; not waiting for it");
    }
    result
}

fn all_topics(consumer: &Consumer, app_topics: Vec<String>) -> Result<Vec<String>, ServeError> {
    let mut topics = app_topics;
    topics.extend_from_slice(consumer.topics());
    topics.sort_unstable();
    topics.dedup();
    let illegal = topics.iter().filter(|topic| !topic_name::is_legal(topic));
    let problems: Vec<_> = illegal.map(|topic| topic_name::problem(topic)).collect();
    if !problems.is_empty() {
        return Err(ConfigError::new(problems).into());
    }
    match topics.is_empty() {
        true => Err(ServeError::NoTopics),
        false => Ok(topics),
    }
}

fn thread_error(reason: String) -> ServeError {
    ServeError::Client {
        code: None,
        reason,
        class: ErrorClass::Fatal,
        summary: Box::default(),
    }
}

/// The future of [`Serve`].
#[must_use = "nothing is consumed until it is awaited"]
pub struct ServeFuture(Pin<Box<dyn Future<Output = Result<Summary, ServeError>> + Send>>);

impl Future for ServeFuture {
    type Output = Result<Summary, ServeError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for ServeFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeFuture").finish_non_exhaustive()
    }
}

struct AbandonOnDrop(Arc<Control>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
