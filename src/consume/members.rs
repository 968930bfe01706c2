//! The members of a group in this process: started together, ended together.

use std::{
    convert::Infallible,
    future::{Future, pending},
    pin::Pin,
    sync::{Arc, atomic::AtomicBool, mpsc},
    thread,
    time::Duration,
};

use tokio::{
    runtime::Handle,
    select,
    sync::{Notify, Semaphore, mpsc::unbounded_channel, oneshot},
    time::timeout,
};

use super::{
    Consumer, ConsumerHandle, Lifecycle, OnUnhandled, ServeError, Summary,
    control::Control,
    dispatch::{Reporter, Seat},
    driver,
    engine::Counts,
    handle::Probe,
    lifecycle::{self, Hooks, Moment, Moments},
};
use crate::error::{ErrorClass, let_go};

/// How long leaving the group may hold up the result.
const LEAVE_TIME: Duration = Duration::from_secs(10);

pub(super) type Signal = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts a dispatcher.
pub(super) type Spawn = Box<dyn Fn(Seat) + Send>;

/// What every member does.
pub(super) struct Plan {
    pub(super) consumer: Consumer,
    /// What to subscribe to: names, and patterns of names.
    pub(super) topics: Vec<String>,
    pub(super) probe: Probe,
    pub(super) on_unhandled: OnUnhandled,
    pub(super) spawn: Spawn,
    pub(super) hooks: Hooks,
}

/// A member that was started.
struct Member {
    control: Arc<Control>,
    result: oneshot::Receiver<Result<Summary, ServeError>>,
    left: oneshot::Receiver<()>,
}

pub(super) async fn run(
    mut plan: Plan,
    signal: Option<Signal>,
    mut lifecycle: Option<Box<dyn Lifecycle>>,
    count: usize,
    handle: ConsumerHandle,
) -> Result<Summary, ServeError> {
    handle.subscribed(&plan.topics);
    let mut moments = None;
    if lifecycle.is_some() {
        let (hooks, receiver) = Hooks::new();
        (plan.hooks, moments) = (hooks, Some(receiver));
    }
    handle.set_probe(plan.probe.clone());
    let mut started = Vec::new();
    let mut controls = AbandonOnDrop(Vec::new());
    for number in 0..count {
        plan.hooks.tell(Moment::Creating);
        let number = (count > 1).then_some(number);
        let member = start(&plan, number, handle.turned())?;
        controls.0.push(Arc::clone(&member.control));
        handle.add(Arc::clone(&member.control));
        started.push(member);
    }
    // The channel of moments ends with the last member. And it holds the app, whose destructor is the user's code; the dispatchers have it as well.
    let_go(plan);

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
    let members = all(started, &controls.0, stopping, &handle);
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
        moments.rest(&mut **lifecycle);
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
    lifecycle: Option<&mut (dyn Lifecycle + 'static)>,
    moments: &mut Moments,
) -> Infallible {
    if let Some(lifecycle) = lifecycle {
        while moments.next(lifecycle).await.is_some() {}
    }
    pending().await
}

/// Starts a member: its dispatchers and its poll thread.
fn start(plan: &Plan, number: Option<usize>, turned: Arc<Notify>) -> Result<Member, ServeError> {
    let (sender, events) = mpsc::channel();
    let permits = plan.consumer.bounds(plan.on_unhandled).max_in_flight;
    let permits = Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
    let threads = Handle::current().metrics().num_workers();
    let count = plan.consumer.dispatchers().unwrap_or(threads).max(1);
    let counts: Vec<_> = (0..count).map(|_| Arc::new(Counts::default())).collect();
    let control = Arc::new(Control::new(counts.clone(), turned));
    let dispatchers = (0..).zip(counts).map(|(number, counts)| {
        let (orders, receiver) = unbounded_channel();
        let pressing = Arc::new(AtomicBool::new(false));
        (plan.spawn)(Seat {
            number,
            orders: receiver,
            pressing: Arc::clone(&pressing),
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
        driver::Employed {
            orders,
            pressing,
            counts,
        }
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
    handle: &ConsumerHandle,
) -> Result<Summary, ServeError> {
    let shutdown = || controls.iter().for_each(|control| control.shutdown());
    let ended = futures_util::future::join_all(members.into_iter().map(async |member| {
        let result = member.result.await.unwrap_or_else(|_| {
            let bug = "its thread panicked, which is a bug in kafka-tower";
            Err(thread_error(bug.to_owned()))
        });
        if result.is_err() {
            handle.fail();
        }
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

fn thread_error(reason: String) -> ServeError {
    ServeError::Client {
        code: None,
        reason,
        class: ErrorClass::Fatal,
        summary: Box::default(),
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
