//! The poll thread: owns the client, feeds the dispatchers and keeps the group's promises.
//!
//! It never blocks on data and never stops polling, however slow a service is. Each partition has
//! a queue of its own, and a lane that holds enough records leaves its queue unread: that is the
//! back-pressure. (`pause` would throw away what was fetched, and stays in force when a partition
//! comes back after a rebalance.)

mod commit;
mod context;
mod end;
mod lanes;
mod look;
mod read;
mod rebalance;
mod requests;
mod spans;
mod told;
mod undone;
mod written;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message,
    consumer::{BaseConsumer, Consumer},
    message::BorrowedMessage,
};
use tokio::sync::{mpsc::UnboundedSender, oneshot};

use self::{
    commit::Commits,
    context::Context,
    end::End,
    lanes::{Closing, Lane},
    read::Reader,
    rebalance::Revocation,
    requests::Seek,
    spans::Spans,
    told::Told,
    undone::LeftUndone,
};
use super::{
    consumer::Limits,
    control::{Control, Wake, Wish},
    dispatch::{Event, Order},
    engine::Counts,
    error::ServeError,
    lifecycle::{Hooks, Moment},
    policy::OnUnhandled,
    summary::{StopReason, Summary, Undone},
    unread::Unread,
};
use crate::{
    client::{
        codes::{self, Operation},
        redact::{escape, refusal},
    },
    error::ErrorClass,
    record::chunk::Memory,
};

/// How long the thread sleeps without being woken. Records, completions, shutdown and commit
/// results all wake it, so this bounds only how late a deadline or a commit is noticed.
const TICK: Duration = Duration::from_millis(50);
/// How long to wait before a static member tries again to take the place of its former self.
const REJOIN: Duration = Duration::from_secs(1);
/// How long what was cancelled may take to end before it is given up.
const CANCEL_GRACE: Duration = Duration::from_secs(1);

/// What the poll thread starts from.
pub(super) struct Start {
    pub(super) config: ClientConfig,
    pub(super) topics: Vec<String>,
    pub(super) limits: Limits,
    pub(super) on_unhandled: OnUnhandled,
    pub(super) control: Arc<Control>,
    pub(super) dispatchers: Vec<Employed>,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) hooks: Hooks,
}

/// A dispatcher that was started.
pub(super) struct Employed {
    pub(super) orders: UnboundedSender<Order>,
    pub(super) pressing: Arc<AtomicBool>,
    pub(super) counts: Arc<Counts>,
}

/// A dispatcher, as the poll thread sees it.
struct Dispatcher {
    orders: UnboundedSender<Order>,
    pressing: Arc<AtomicBool>,
    lanes: usize,
    gone: bool,
}

impl Dispatcher {
    fn order(&self, order: Order) {
        let is_pressing = order.is_pressing();
        // One that is gone has said so.
        let _ = self.orders.send(order);
        if is_pressing {
            self.pressing.store(true, Ordering::SeqCst);
        }
    }
}

struct Driver {
    // Dropped before the client: they hold queues and messages of it.
    lanes: HashMap<u64, Lane>,
    reader: Reader,
    owned: HashMap<(Arc<str>, i32), u64>,
    closing: HashMap<u64, Closing>,
    consumer: Arc<BaseConsumer<Context>>,
    config: ClientConfig,
    topics: Vec<String>,
    /// When to try again with a client of the same name, whose place in the group isn't free yet.
    rejoin_at: Option<Instant>,
    limits: Limits,
    on_unhandled: OnUnhandled,
    control: Arc<Control>,
    dispatchers: Vec<Dispatcher>,
    counts: Vec<Arc<Counts>>,
    events: mpsc::Receiver<Event>,
    hooks: Hooks,
    unread: Arc<Unread>,
    memory: Arc<Memory>,
    /// Lanes that are left unread for want of memory.
    starved: BTreeSet<u64>,
    generation: u64,
    revocation: Option<Revocation>,
    seeks: Vec<Seek>,
    commits: Commits,
    spans: Spans,
    /// Lanes that wait for a commit.
    marked: Vec<u64>,
    /// A commit is worth more than the interval.
    urgent: bool,
    looked_at: Option<Instant>,
    summary: Summary,
    undone: LeftUndone,
    end: Option<End>,
    assigned_once: bool,
    /// When the group went on without this member.
    lost_at: Option<Instant>,
    told: Told,
}

/// The whole life of the poll thread. `done` learns the result; `left` learns, by being dropped or
/// sent to, that the group is left and the client is gone.
pub(super) fn run(
    start: Start,
    done: oneshot::Sender<Result<Summary, ServeError>>,
    left: oneshot::Sender<()>,
) {
    let mut driver = match Driver::new(start) {
        Ok(driver) => driver,
        Err(error) => {
            let _ = done.send(Err(error));
            return;
        }
    };
    driver.serve();
    driver.drain();
    driver.commit_the_rest();
    let result = driver.finish();
    let _ = done.send(result);
    driver.leave_without_partitions();
    // The destructor of `BaseConsumer` leaves the group and waits for that without a deadline:
    // nobody but this thread may hang on it.
    drop(driver);
    let _ = left.send(());
}

/// Makes the client.
fn connect(config: &ClientConfig, wake: &Wake) -> Result<Arc<BaseConsumer<Context>>, ServeError> {
    let created = config.create_with_context::<_, BaseConsumer<_>>(Context::default());
    let mut consumer = created.map_err(|error| ServeError::Client {
        code: codes::code_of(&error),
        class: codes::meaning_of(Operation::Connect, &error).class(),
        reason: refusal(&error),
        summary: Box::default(),
    })?;
    let wake = wake.clone();
    consumer.set_nonempty_callback(move || wake.wake());
    Ok(Arc::new(consumer))
}

impl Driver {
    fn new(start: Start) -> Result<Self, ServeError> {
        let Start {
            config,
            topics,
            limits,
            on_unhandled,
            control,
            dispatchers,
            events,
            hooks,
        } = start;
        let wake = control.wake.clone();
        wake.wake_here();
        let consumer = connect(&config, &wake)?;
        hooks.tell(Moment::Created);
        let on_relief = wake.clone();
        let memory = Memory::new(limits.held_bytes, move || on_relief.wake());
        let memory = Arc::new(memory);
        let _ = control.meters.memory.set(Arc::clone(&memory));
        let spans = Spans::new(&config, limits.semconv);
        let counts = dispatchers.iter().map(|one| Arc::clone(&one.counts));
        let counts = counts.collect();
        let dispatchers = dispatchers.into_iter().map(|one| Dispatcher {
            orders: one.orders,
            pressing: one.pressing,
            lanes: 0,
            gone: false,
        });
        Ok(Self {
            lanes: HashMap::new(),
            reader: Reader::default(),
            owned: HashMap::new(),
            closing: HashMap::new(),
            consumer,
            config,
            topics,
            rejoin_at: None,
            limits,
            on_unhandled,
            control,
            dispatchers: dispatchers.collect(),
            counts,
            events,
            hooks,
            unread: Unread::new(wake),
            memory,
            starved: BTreeSet::new(),
            generation: 0,
            revocation: None,
            seeks: Vec::new(),
            commits: Commits::default(),
            spans,
            marked: Vec::new(),
            urgent: false,
            looked_at: None,
            summary: Summary::default(),
            undone: LeftUndone::default(),
            end: None,
            assigned_once: false,
            lost_at: None,
            told: Told::default(),
        })
    }

    fn serve(&mut self) {
        self.subscribe();
        while self.end.is_none() {
            self.turn();
        }
    }

    fn subscribe(&mut self) {
        let names: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        match self.consumer.subscribe(&names) {
            Ok(()) => self.hooks.tell(Moment::Subscribed(self.topics.clone())),
            Err(error) => self.end(End::Failed(ServeError::Client {
                code: codes::code_of(&error),
                reason: escape(&error.to_string()).into_owned(),
                class: codes::meaning_of(Operation::Connect, &error).class(),
                summary: Box::default(),
            })),
        }
    }

    /// Tries again with a new client, when it is time: a client that had a fatal error stays dead.
    fn rejoin(&mut self) {
        if self.rejoin_at.is_none_or(|at| Instant::now() < at) || self.end.is_some() {
            return;
        }
        self.rejoin_at = None;
        match connect(&self.config, &self.control.wake) {
            Ok(consumer) => {
                self.consumer = consumer;
                self.subscribe();
            }
            Err(error) => self.end(End::Failed(error)),
        }
    }

    /// One round: the thread sleeps until something comes in, and acts upon all of it.
    fn turn(&mut self) {
        thread::park_timeout(TICK);
        match self.control.wish() {
            Wish::GoOn => {}
            Wish::Shutdown if self.end.is_some() => {}
            Wish::Shutdown => self.end(End::Stopped(StopReason::Shutdown)),
            Wish::Abandon => self.end(End::Abandoned),
        }
        self.rejoin();
        self.poll_client();
        self.serve_rebalances();
        self.notice_an_empty_assignment();
        self.serve_events();
        self.advance_revocation();
        self.serve_requests();
        self.read_queues();
        self.feed_the_starved();
        self.look_at_lanes();
        self.commit_on_the_clock();
        self.control.turned.notify_waiters();
    }

    /// Serves the client's own queue: callbacks run in here.
    fn poll_client(&mut self) {
        let consumer = Arc::clone(&self.consumer);
        loop {
            // rdkafka answers `None` for an empty queue and for a served event alike.
            match consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => self.refuse(&message),
                Some(Err(error)) => self.on_poll_error(&error),
                None if consumer.context().take_noted() => {}
                None => break,
            }
        }
        self.control.meters.polled();
        let notes = consumer.context().take();
        self.serve_commit_results(notes.commits);
        for (code, reason) in notes.errors {
            self.on_client_error(code, &reason);
        }
    }

    /// A record that came through the client's own queue. That of a lane would be missing in it.
    fn refuse(&mut self, message: &BorrowedMessage<'_>) {
        let (topic, partition) = (message.topic(), message.partition());
        if self.generation_of(topic, partition).is_some() {
            let reason = format!("a record of {topic}/{partition} came outside of its queue");
            self.end(End::client(None, &reason, ErrorClass::Fatal));
        }
    }

    /// Lets running records finish, as a member of the group.
    fn drain(&mut self) {
        let deadline = Instant::now() + self.limits.drain;
        while self.any_lane_runs()
            && Instant::now() < deadline
            && self.control.wish() != Wish::Abandon
        {
            self.turn();
        }
        let running = self.running();
        if running > 0 {
            tracing::warn!(
                target: "kafka_tower", running,
                "records are cut off while running; they will be read again"
            );
        }
        for generation in self.lanes.keys() {
            self.cancel_lane(*generation, Undone::Cancelled);
        }
        let deadline = Instant::now() + CANCEL_GRACE;
        while self.any_lane_runs() && Instant::now() < deadline {
            self.turn();
        }
    }

    /// How many records are running.
    fn running(&self) -> usize {
        let lanes = self.lanes.values();
        lanes
            .map(|lane| lane.progress.running.load(Ordering::Relaxed))
            .sum()
    }

    fn any_lane_runs(&self) -> bool {
        self.lanes.values().any(|lane| !lane.drained)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Also when the thread panics: the client's destructor would wait for ever otherwise.
        self.consumer.context().close();
        self.control.refuse_requests();
        self.control.views.clear();
        self.control.meters.ended();
    }
}
