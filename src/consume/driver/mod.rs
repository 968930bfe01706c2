//! The poll thread: owns the client, feeds the lanes and keeps the group's promises.
//!
//! It never blocks on data and never stops polling, however slow a service is. Each partition has
//! a queue of its own, and a lane that holds enough records leaves its queue unread: that is the
//! back-pressure. (`pause` would throw away what was fetched, and stays in force when a partition
//! comes back after a rebalance.)

mod commit;
mod context;
mod end;
mod lanes;
mod rebalance;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use tokio::{runtime::Handle, sync::oneshot};

use self::{commit::Commits, context::Context, end::End, lanes::Lane, rebalance::Revocation};
use super::{
    control::{Control, Wish},
    error::ServeError,
    lane::{Event, Seat},
    settings::Limits,
    summary::{StopReason, Summary, Undone},
};
use crate::client::{
    codes::{self, Operation},
    redact::escape,
};

/// How long the thread sleeps without being woken. Records, completions, shutdown and commit
/// results all wake it, so this bounds only how late a deadline or a commit is noticed, and what a
/// wake-up that librdkafka or a log subscriber swallowed would cost.
const TICK: Duration = Duration::from_millis(50);
/// How long a cancelled task may take to end before it is given up.
const CANCEL_GRACE: Duration = Duration::from_secs(1);

/// What the poll thread starts from.
pub(super) struct Start {
    pub(super) config: ClientConfig,
    pub(super) topics: Vec<String>,
    pub(super) limits: Limits,
    pub(super) control: Arc<Control>,
    pub(super) runtime: Handle,
    pub(super) spawn: Spawn,
}

/// Starts a lane's task.
pub(super) type Spawn = Box<dyn Fn(&Handle, Seat) + Send>;

struct Driver {
    // Dropped in this order: the lanes hold queues of the client.
    lanes: HashMap<u64, Lane>,
    owned: HashMap<(Arc<str>, i32), u64>,
    consumer: Arc<BaseConsumer<Context>>,
    limits: Limits,
    control: Arc<Control>,
    runtime: Handle,
    spawn: Spawn,
    events: mpsc::Receiver<(u64, Event)>,
    sender: mpsc::Sender<(u64, Event)>,
    generation: u64,
    revocation: Option<Revocation>,
    commits: Commits,
    summary: Summary,
    undone: BTreeMap<(Arc<str>, i32), (i64, Undone)>,
    end: Option<End>,
    assigned_once: bool,
    last_error: Option<i32>,
}

/// The whole life of the poll thread. `done` learns the result; `left` learns, by being dropped or
/// sent to, that the group is left and the client is gone.
pub(super) fn run(
    start: Start,
    done: oneshot::Sender<Result<Summary, ServeError>>,
    left: oneshot::Sender<()>,
) {
    let topics = start.topics.clone();
    let mut driver = match Driver::new(start) {
        Ok(driver) => driver,
        Err(error) => {
            let _ = done.send(Err(error));
            return;
        }
    };
    driver.serve(&topics);
    driver.drain();
    driver.commit_the_rest();
    let result = driver.finish();
    let _ = done.send(result);
    // The destructor of `BaseConsumer` leaves the group and waits for that without a deadline:
    // nobody but this thread may hang on it.
    drop(driver);
    let _ = left.send(());
}

impl Driver {
    fn new(start: Start) -> Result<Self, ServeError> {
        let Start {
            config,
            limits,
            control,
            runtime,
            spawn,
            ..
        } = start;
        let wake = control.wake.clone();
        wake.wake_here();
        let created = config.create_with_context::<_, BaseConsumer<_>>(Context::default());
        let mut consumer = created.map_err(|error| ServeError::Client {
            code: codes::code_of(&error),
            class: codes::meaning_of(Operation::Connect, &error).class(),
            reason: match error {
                // The others may show a value.
                KafkaError::ClientCreation(reason) => escape(&reason).into_owned(),
                _ => "librdkafka refused the settings".to_owned(),
            },
            summary: Box::default(),
        })?;
        consumer.set_nonempty_callback(move || wake.wake());
        let (sender, events) = mpsc::channel();
        Ok(Self {
            lanes: HashMap::new(),
            owned: HashMap::new(),
            consumer: Arc::new(consumer),
            limits,
            control,
            runtime,
            spawn,
            events,
            sender,
            generation: 0,
            revocation: None,
            commits: Commits::default(),
            summary: Summary::default(),
            undone: BTreeMap::new(),
            end: None,
            assigned_once: false,
            last_error: None,
        })
    }

    fn serve(&mut self, topics: &[String]) {
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        if let Err(error) = self.consumer.subscribe(&topics) {
            self.end(End::Failed(ServeError::Client {
                code: codes::code_of(&error),
                reason: escape(&error.to_string()).into_owned(),
                class: codes::meaning_of(Operation::Connect, &error).class(),
                summary: Box::default(),
            }));
        }
        while self.end.is_none() {
            self.turn();
        }
    }

    /// One round: the thread sleeps until something comes in, and acts upon all of it.
    fn turn(&mut self) {
        let asleep = Instant::now();
        thread::park_timeout(TICK);
        if asleep.elapsed() >= TICK {
            self.read_all_next();
        }
        match self.control.wish() {
            Wish::GoOn => {}
            Wish::Shutdown if self.end.is_some() => {}
            Wish::Shutdown => self.end(End::Stopped(StopReason::Shutdown)),
            Wish::Abandon => self.end(End::Abandoned),
        }
        self.poll_client();
        self.serve_rebalances();
        self.serve_lanes();
        self.advance_revocation();
        self.read_queues();
        self.commit_on_the_clock();
    }

    /// Serves the client's own queue: callbacks run in here.
    fn poll_client(&mut self) {
        let consumer = Arc::clone(&self.consumer);
        loop {
            // rdkafka answers `None` for an empty queue and for a served event alike.
            match consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => self.deliver(message),
                Some(Err(error)) => self.on_poll_error(&error),
                None if consumer.context().take_noted() => {}
                None => break,
            }
        }
        let notes = consumer.context().take();
        self.serve_commit_results(notes.commits);
        for (code, reason) in notes.errors {
            self.on_client_error(code, &reason);
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
        for lane in self.lanes.values() {
            lane.cancel.cancel();
        }
        let deadline = Instant::now() + CANCEL_GRACE;
        while self.any_lane_runs() && Instant::now() < deadline {
            self.turn();
        }
    }

    fn any_lane_runs(&self) -> bool {
        self.lanes.values().any(|lane| !lane.ended)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Also when the thread panics: the client's destructor would wait for ever otherwise.
        self.consumer.context().close();
    }
}
