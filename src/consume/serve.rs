use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    App, Consumer, ConsumerHandle, Lifecycle, OnUnhandled, ServeError, Summary, dispatch,
    handle::{EndOnDrop, Probe},
    lifecycle::Hooks,
    members::{self, Plan, Signal, Spawn},
    prefix,
};
use crate::{client::topic_name, error::ConfigError};

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
    let handle = ConsumerHandle::default();
    Serve {
        consumer,
        app,
        signal: None,
        on_unhandled: OnUnhandled::default(),
        lifecycle: None,
        members: 1,
        end: handle.end_on_drop(),
        handle,
    }
}

/// A consumer and its app; made by [`serve`], run by `.await`. To run it in a task of its own:
/// `tokio::spawn(serve.into_future())`, with [`IntoFuture`] in scope.
#[must_use = "nothing is consumed until it is awaited"]
pub struct Serve<A> {
    consumer: Consumer,
    app: A,
    signal: Option<Signal>,
    on_unhandled: OnUnhandled,
    lifecycle: Option<Box<dyn Lifecycle>>,
    members: usize,
    handle: ConsumerHandle,
    end: EndOnDrop,
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
            end,
        } = self;
        let app_topics = app.topics().unwrap_or_default();
        let prefixes = app.topic_prefixes();
        let make = Arc::new(app.into_make_lane());
        let spawn: Spawn = Box::new(move |seat| {
            tokio::spawn(dispatch::run(Arc::clone(&make), seat));
        });
        let begun = handle.clone();
        let run = async move {
            let mut topics = all_names(&consumer, app_topics, &prefixes)?;
            let patterns = prefixes.iter().map(|one| prefix::pattern(one));
            let patterns: Vec<_> = patterns.collect();
            let probe = Probe::new(consumer.client_config(None), topics.clone(), prefixes);
            topics.extend(patterns);
            let plan = Plan {
                topics,
                probe,
                consumer,
                on_unhandled,
                spawn,
                hooks: Hooks::default(),
            };
            members::run(plan, signal, lifecycle, members, begun).await
        };
        ServeFuture(Box::pin(async move {
            let _end = end;
            run.await.inspect_err(|_| handle.fail())
        }))
    }
}

/// The topics that are named; and whether the prefixes can be subscribed to beside.
fn all_names(
    consumer: &Consumer,
    app_topics: Vec<String>,
    prefixes: &[String],
) -> Result<Vec<String>, ServeError> {
    let mut topics = app_topics;
    topics.extend_from_slice(consumer.topics());
    topics.sort_unstable();
    topics.dedup();
    let illegal = topics.iter().filter(|topic| !topic_name::is_legal(topic));
    let mut problems: Vec<_> = illegal
        .map(|topic| topic_name::subscription_problem(topic))
        .collect();
    problems.extend(prefixes.iter().filter_map(|one| prefix::problem(one)));
    if !problems.is_empty() {
        return Err(ConfigError::new(problems).into());
    }
    match topics.is_empty() && prefixes.is_empty() {
        true => Err(ServeError::NoTopics),
        false => Ok(topics),
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
