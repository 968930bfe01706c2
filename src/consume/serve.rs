use std::{
    convert::Infallible,
    fmt,
    future::{Future, IntoFuture, pending},
    pin::Pin,
    sync::{Arc, mpsc},
    task::{Context, Poll},
    thread,
    time::Duration,
};

use tokio::{
    runtime::Handle,
    select,
    sync::{
        Semaphore,
        mpsc::{UnboundedReceiver, unbounded_channel},
        oneshot,
    },
    time::timeout,
};

use super::{
    App, Consumer, ConsumerHandle, Lifecycle, OnUnhandled, ServeError, Summary,
    control::Control,
    dispatch::{self, Reporter, Seat},
    driver,
    engine::Counts,
    lifecycle::{self, Hooks, Moment},
};
use crate::{
    client::topic_name,
    error::{ConfigError, ErrorClass},
};

/// How long leaving the group may hold up the result.
const LEAVE_TIME: Duration = Duration::from_secs(10);

/// Consumes records and hands each to the app, until the app, the shutdown signal or an error ends
/// it.
///
/// Each assigned partition is a lane: a clone of the service of its own, called as often as it is
/// ready, in the order that [`ConsumerSettings::ordering`](crate::ConsumerSettings::ordering) says.
/// An offset is committed only when its record, and every one before it, is complete. A record that
/// failed and that no layer handled is never skipped silently: see
/// [`on_unhandled`](Serve::on_unhandled).
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
        on_unhandled: OnUnhandled::default(),
        lifecycle: None,
        members: 1,
        handle: ConsumerHandle::default(),
    }
}

/// A consumer and its app; made by [`serve`], run by `.await`.
#[must_use = "nothing is consumed until it is awaited"]
pub struct Serve<A> {
    consumer: Consumer,
    app: A,
    signal: Option<Signal>,
    on_unhandled: OnUnhandled,
    lifecycle: Option<Box<dyn Lifecycle>>,
    members: usize,
    handle: ConsumerHandle,
}

type Signal = Pin<Box<dyn Future<Output = ()> + Send>>;

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

    /// What to do about a record that failed and that no layer handled; [`OnUnhandled::Stop`]
    /// without.
    pub fn on_unhandled(mut self, on_unhandled: OnUnhandled) -> Self {
        self.on_unhandled = on_unhandled;
        self
    }

    /// Calls the methods of `lifecycle` when their moments come.
    pub fn with_lifecycle(mut self, lifecycle: impl Lifecycle) -> Self {
        self.lifecycle = Some(Box::new(lifecycle));
        self
    }

    /// Joins the group with `members` members, each with its connections, its poll thread, and its
    /// own [`max_in_flight`](crate::ConsumerSettings::max_in_flight) and
    /// [`max_bytes`](crate::ConsumerSettings::max_bytes); 1 without. When one ends, so do all.
    ///
    /// A [`group_instance_id`](crate::ConsumerSettings::group_instance_id) gets the member's
    /// number, `-0`, `-1` and so on, behind it.
    ///
    /// # Panics
    ///
    /// When `members` is 0.
    pub fn members(mut self, members: usize) -> Self {
        assert!(members > 0, "a group has 1 member or more");
        self.members = members;
        self
    }

    /// A handle to look at the consumer, and to control it, while it runs.
    #[must_use]
    pub fn handle(&self) -> ConsumerHandle {
        self.handle.clone()
    }
}

impl<A> fmt::Debug for Serve<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("consumer", &self.consumer)
            .field("graceful_shutdown", &self.signal.is_some())
            .field("on_unhandled", &self.on_unhandled)
            .field("members", &self.members)
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
            on_unhandled,
            lifecycle,
            members,
            handle,
        } = self;
        let app_topics = app.topics().unwrap_or_default();
        let make = Arc::new(app.into_make_lane());
        let spawn: Spawn = Box::new(move |seat| {
            tokio::spawn(dispatch::run(Arc::clone(&make), seat));
        });
        ServeFuture(Box::pin(async move {
            let plan = Plan {
                topics: all_topics(&consumer, app_topics)?,
                consumer,
                on_unhandled,
                spawn,
                hooks: Hooks::default(),
            };
            run(plan, signal, lifecycle, members, handle).await
        }))
    }
}

/// Starts a dispatcher.
type Spawn = Box<dyn Fn(Seat) + Send>;

/// What every member does.
struct Plan {
    consumer: Consumer,
    topics: Vec<String>,
    on_unhandled: OnUnhandled,
    spawn: Spawn,
    hooks: Hooks,
}

/// A member that was started.
struct Member {
    control: Arc<Control>,
    result: oneshot::Receiver<Result<Summary, ServeError>>,
    left: oneshot::Receiver<()>,
}

async fn run(
    mut plan: Plan,
    signal: Option<Signal>,
    mut lifecycle: Option<Box<dyn Lifecycle>>,
    count: usize,
    handle: ConsumerHandle,
) -> Result<Summary, ServeError> {
    let mut moments = None;
    if lifecycle.is_some() {
        let (hooks, receiver) = Hooks::new();
        (plan.hooks, moments) = (hooks, Some(receiver));
    }
    let mut started = Vec::new();
    let mut controls = AbandonOnDrop(Vec::new());
    for number in 0..count {
        plan.hooks.tell(Moment::Creating);
        let number = (count > 1).then_some(number);
        let member = start(&plan, number)?;
        controls.0.push(Arc::clone(&member.control));
        handle.add(Arc::clone(&member.control));
        started.push(member);
    }
    // The channel of moments ends with the last member.
    plan.hooks = Hooks::default();

    let stop = handle.stop_signal();
    let stopping = async {
        select! {
            () = stop.cancelled() => {}
            () = async { match signal {
                Some(signal) => signal.await,
                None => pending().await,
            } } => {}
        }
    };
    let members = all(started, &controls.0, stopping);
    let result = match &mut moments {
        None => members.await,
        Some(moments) => {
            select! {
                biased;
                result = members => result,
                never = tell(lifecycle.as_deref_mut(), moments) => match never {},
            }
        }
    };
    if let (Some(lifecycle), Some(moments)) = (&mut lifecycle, &mut moments) {
        while let Ok(moment) = moments.try_recv() {
            lifecycle::call(&mut **lifecycle, &moment);
        }
        let summary = match &result {
            Ok(summary) => Some(summary),
            Err(error) => error.summary(),
        };
        let summary = summary.cloned().unwrap_or_default();
        lifecycle::call(&mut **lifecycle, &Moment::Stopped(Box::new(summary)));
    }
    result
}

/// Calls the hooks for as long as it is polled.
async fn tell(
    mut lifecycle: Option<&mut (dyn Lifecycle + 'static)>,
    moments: &mut UnboundedReceiver<Moment>,
) -> Infallible {
    while let Some(moment) = moments.recv().await {
        if let Some(lifecycle) = &mut lifecycle {
            lifecycle::call(&mut **lifecycle, &moment);
        }
    }
    pending().await
}

/// Starts a member: its dispatchers and its poll thread.
fn start(plan: &Plan, number: Option<usize>) -> Result<Member, ServeError> {
    let control = Arc::new(Control::new());
    let (sender, events) = mpsc::channel();
    let permits = plan.consumer.bounds(plan.on_unhandled).max_in_flight;
    let permits = Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
    let threads = Handle::current().metrics().num_workers();
    let count = plan.consumer.dispatchers().unwrap_or(threads).max(1);
    let dispatchers = (0..count).map(|number| {
        let (orders, receiver) = unbounded_channel();
        let counts = Arc::new(Counts::default());
        (plan.spawn)(Seat {
            number,
            orders: receiver,
            reporter: Reporter {
                events: sender.clone(),
                wake: control.wake.clone(),
            },
            bounds: plan.consumer.bounds(plan.on_unhandled),
            counts: Arc::clone(&counts),
            permits: Arc::clone(&permits),
            spawn_handlers: plan.consumer.spawns_handlers(),
            started: control.started,
        });
        (orders, counts)
    });
    let start = driver::Start {
        config: plan.consumer.client_config(number),
        topics: plan.topics.clone(),
        limits: plan.consumer.limits(),
        on_unhandled: plan.on_unhandled,
        control: Arc::clone(&control),
        dispatchers: dispatchers.collect(),
        events,
        hooks: plan.hooks.clone(),
    };
    let (done, result) = oneshot::channel();
    let (gone, left) = oneshot::channel();
    thread::Builder::new()
        .name("kafka-consumer".to_owned())
        .spawn(move || driver::run(start, done, gone))
        .map_err(|error| thread_error(format!("can't start its thread: {error}")))?;
    Ok(Member {
        control,
        result,
        left,
    })
}

/// Waits for all members; when one ends, or the signal comes, the others are shut down.
async fn all(
    members: Vec<Member>,
    controls: &[Arc<Control>],
    stopping: impl Future<Output = ()>,
) -> Result<Summary, ServeError> {
    let shutdown = || controls.iter().for_each(|control| control.shutdown());
    let ended = futures_util::future::join_all(members.into_iter().map(async |member| {
        let result = member.result.await.unwrap_or_else(|_| {
            let bug = "its thread panicked, which is a bug in kafka-tower";
            Err(thread_error(bug.to_owned()))
        });
        shutdown();
        if timeout(LEAVE_TIME, member.left).await.is_err() {
            tracing::warn!(target: "kafka_tower", "leaving the group takes long; not waiting for it");
        }
        result
    }));
    let stopping = async {
        stopping.await;
        shutdown();
        pending::<Infallible>().await
    };
    let results = select! {
        biased;
        results = ended => results,
        never = stopping => match never {},
    };
    merge(results)
}

/// One summary of all members, in the first error if there is one.
fn merge(results: Vec<Result<Summary, ServeError>>) -> Result<Summary, ServeError> {
    let mut all = Summary::default();
    let mut failed = None;
    for result in results {
        match result {
            Ok(summary) => all.merge(summary),
            Err(error) => {
                all.merge(error.summary().cloned().unwrap_or_default());
                failed.get_or_insert(error);
            }
        }
    }
    match failed {
        None => Ok(all),
        Some(error) => Err(error.with_summary(Summary { stop: None, ..all })),
    }
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

/// Lets members go when the future is dropped, or one of them can't be started.
struct AbandonOnDrop(Vec<Arc<Control>>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        for control in &self.0 {
            control.abandon();
        }
    }
}
