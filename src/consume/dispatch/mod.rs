//! The dispatchers: tasks that own lanes, call their services and tell the engine what came of it.
//!
//! A call's future is polled once inside the dispatcher, at once; only what is pending then takes a
//! place among the running ones.

mod calls;
#[cfg(all(test, loom))]
mod models;
mod woken;

use std::{
    future::poll_fn,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Poll},
    time::Instant,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc::UnboundedReceiver, oneshot},
    time::Sleep,
};
use tokio_util::sync::PollSemaphore;
use tower::Service;

use self::{
    calls::Calls,
    woken::{Part, Woken},
};
use super::{
    control::Wake,
    engine::{Bounds, Counts, Dispatch, Engine, Moment, News, Opening},
    summary::Undone,
    unread,
};
use crate::{
    error::{BoxError, PanicError},
    record::{ConsumerRecord, Outcome, chunk::Origin},
};

/// How many records of a lane are dispatched before the next lane has its turn.
const BURST: usize = 64;
/// How many are dispatched before the other tasks of the runtime have theirs.
const TURN: usize = 1024;

/// What a dispatcher is told.
pub(super) enum Order {
    Open(NewLane),
    Records(u64, Vec<ConsumerRecord>),
    End(u64, i64),
    Grant(u64),
    /// Or lets it go on; answered when it is done.
    Pause(u64, bool, Option<oneshot::Sender<()>>),
    /// No new dispatch.
    Stop(u64),
    StopAll,
    /// Drop what is running.
    Cancel(u64, Undone),
    Close(u64),
}

impl Order {
    /// Whether it is not to wait for the end of a turn.
    pub(super) fn is_pressing(&self) -> bool {
        matches!(
            self,
            Self::Pause(..) | Self::Stop(_) | Self::StopAll | Self::Cancel(..) | Self::Close(_)
        )
    }
}

pub(super) struct NewLane {
    pub(super) generation: u64,
    pub(super) origin: Arc<Origin>,
    pub(super) opening: Opening,
    pub(super) bell: Arc<unread::Bell>,
}

/// What a dispatcher tells.
pub(super) enum Event {
    News(News),
    /// `poll_ready` failed, with this offset in hand.
    ServiceEnded(u64, i64, BoxError),
    /// What was begun in a closed lane, and is not complete.
    Closed(u64, Vec<(i64, Undone)>),
    /// The dispatcher of this number is no more.
    Gone(usize),
}

/// What a dispatcher is made of.
pub(super) struct Seat {
    pub(super) number: usize,
    pub(super) orders: UnboundedReceiver<Order>,
    /// Set behind an order that is not to wait for the end of a turn.
    pub(super) pressing: Arc<AtomicBool>,
    pub(super) reporter: Reporter,
    pub(super) bounds: Bounds,
    pub(super) counts: Arc<Counts>,
    /// One for each record that may be running, shared by all dispatchers.
    pub(super) permits: Arc<Semaphore>,
    pub(super) spawn_handlers: bool,
    pub(super) started: Instant,
}

pub(super) struct Reporter {
    pub(super) events: mpsc::Sender<Event>,
    pub(super) wake: Wake,
}

impl Reporter {
    fn tell(&self, event: Event) {
        // The poll thread is gone only when nobody wants to know any more.
        let _ = self.events.send(event);
        self.wake.wake();
    }
}

/// Says that the dispatcher is gone, also when its task panics or is dropped.
struct Farewell(usize, Reporter);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.1.tell(Event::Gone(self.0));
    }
}

/// Runs until nobody gives orders any more.
pub(super) async fn run<M, S>(make: Arc<M>, seat: Seat)
where
    M: Fn(&str, i32) -> S,
    S: Service<ConsumerRecord, Response: Into<Outcome>, Error: Into<BoxError>>,
    S::Future: Send + 'static,
{
    let woken = Arc::new(Woken::default());
    let mut dispatcher = Dispatcher {
        make,
        engine: Engine::new(seat.bounds, seat.counts),
        lanes: Vec::new(),
        calls: Calls::new(Arc::clone(&woken)),
        woken,
        parts: Vec::new(),
        orders: seat.orders,
        pressing: seat.pressing,
        farewell: Farewell(seat.number, seat.reporter),
        permits: PollSemaphore::new(seat.permits),
        spare: None,
        queued: false,
        spawn: seat.spawn_handlers,
        started: seat.started,
        timer: None,
    };
    // tokio's own budget would make the futures of a busy dispatcher pending in vain.
    tokio::task::unconstrained(poll_fn(|context| dispatcher.poll(context))).await;
}

struct Dispatcher<M, S: Service<ConsumerRecord>> {
    make: Arc<M>,
    engine: Engine,
    /// In the places of the engine's lanes.
    lanes: Vec<Option<Seated<S>>>,
    calls: Calls<S::Future, Job>,
    woken: Arc<Woken>,
    parts: Vec<Part>,
    orders: UnboundedReceiver<Order>,
    pressing: Arc<AtomicBool>,
    farewell: Farewell,
    permits: PollSemaphore,
    /// For the next call.
    spare: Option<OwnedSemaphorePermit>,
    /// In the queue for a permit.
    queued: bool,
    spawn: bool,
    started: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

/// What belongs to a running call.
type Job = (Dispatch, OwnedSemaphorePermit);

struct Seated<S> {
    origin: Arc<Origin>,
    service: Option<S>,
    ready: woken::Bell,
    unread: Arc<unread::Bell>,
}

impl<M, S> Dispatcher<M, S>
where
    M: Fn(&str, i32) -> S,
    S: Service<ConsumerRecord, Response: Into<Outcome>, Error: Into<BoxError>>,
    S::Future: Send + 'static,
{
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.woken.register(context.waker());
        let mut left = TURN;
        loop {
            let now = self.started.elapsed();
            if self.take_orders(context).is_ready() {
                return Poll::Ready(());
            }
            let woken = self.poll_woken(now);
            self.engine.tick(now);
            let dispatched = self.dispatch(context, now, left);
            self.tell_news();
            left = left.saturating_sub(dispatched);
            if left == 0 {
                context.waker().wake_by_ref();
                break;
            }
            if dispatched == 0 && !woken && self.is_early(context) {
                break;
            }
        }
        // Another dispatcher may need it.
        self.spare = None;
        if self.queued && !self.engine.has_ready() {
            // What is waited for comes to someone who has no use for it any more.
            self.permits = PollSemaphore::new(self.permits.clone_inner());
            self.queued = false;
        }
        Poll::Pending
    }

    fn take_orders(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.pressing.store(false, Ordering::SeqCst);
        loop {
            match self.orders.poll_recv(context) {
                Poll::Ready(Some(order)) => self.obey(order),
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Open(lane) => self.open(lane),
            Order::Records(generation, records) => self.engine.arrive(generation, records),
            Order::End(generation, offset) => self.engine.arrive_end(generation, offset),
            Order::Grant(generation) => self.engine.grant(generation),
            Order::Pause(generation, paused, done) => {
                if self.engine.pause(generation, paused)
                    && let Some(done) = done
                {
                    let _ = done.send(());
                }
            }
            Order::Stop(generation) => self.engine.stop(generation),
            Order::StopAll => self.engine.stop_all(),
            Order::Cancel(generation, why) => self.cancel(generation, why),
            Order::Close(generation) => {
                self.cancel(generation, Undone::Cancelled);
                if let Some((place, undone)) = self.engine.close(generation) {
                    let seated = self.lanes[place as usize].take();
                    // The service's destructor is the user's code.
                    let _ = catch_unwind(AssertUnwindSafe(|| drop(seated)));
                    self.tell(Event::Closed(generation, undone));
                }
            }
        }
    }

    fn open(&mut self, lane: NewLane) {
        let place = self.engine.open(lane.generation, lane.opening);
        let seated = Seated {
            origin: lane.origin,
            service: None,
            ready: self.woken.bell(Part::Service(place)),
            unread: lane.bell,
        };
        let index = place as usize;
        if index == self.lanes.len() {
            self.lanes.push(None);
        }
        self.lanes[index] = Some(seated);
    }

    fn cancel(&mut self, generation: u64, why: Undone) {
        let calls = self
            .calls
            .cancel(|(dispatch, _)| dispatch.generation() == generation);
        for (dispatch, _permit) in calls {
            self.engine.cancel(dispatch, why);
        }
    }

    /// Polls what was woken; whether there was any.
    fn poll_woken(&mut self, now: Moment) -> bool {
        let mut parts = mem::take(&mut self.parts);
        self.woken.take(&mut parts);
        let any = !parts.is_empty();
        for part in parts.drain(..) {
            match part {
                Part::Call(place) => {
                    if let Some(((dispatch, permit), answer)) = self.calls.poll(place) {
                        self.spare.get_or_insert(permit);
                        self.engine.finish(dispatch, answer, now);
                    }
                }
                Part::Service(place) => self.engine.service_ready(place),
            }
        }
        self.parts = parts;
        any
    }

    /// Dispatches up to `most` records; how many it were.
    fn dispatch(&mut self, context: &mut Context<'_>, now: Moment, most: usize) -> usize {
        let mut dispatched = 0;
        while dispatched < most {
            if dispatched > 0 && self.pressing.load(Ordering::Relaxed) {
                break;
            }
            if !self.has_permit(context) {
                break;
            }
            let Some(place) = self.engine.next_lane() else {
                break;
            };
            let burst = self.dispatch_lane(context, place, now);
            dispatched += burst;
            if burst > 0 {
                self.engine.list(place);
            }
            if let Some(seated) = &self.lanes[place as usize] {
                seated.unread.made_room();
            }
        }
        dispatched
    }

    /// Whether there is a permit for the next call; the task is woken when there is.
    fn has_permit(&mut self, context: &mut Context<'_>) -> bool {
        if self.spare.is_none() {
            match self.permits.poll_acquire(context) {
                Poll::Ready(permit) => (self.spare, self.queued) = (permit, false),
                Poll::Pending => self.queued = true,
            }
        }
        self.spare.is_some()
    }

    /// Dispatches some records of one lane; how many it were.
    fn dispatch_lane(&mut self, context: &mut Context<'_>, place: u32, now: Moment) -> usize {
        for nth in 0..BURST {
            // A call that ends at once may take long all the same, and the order may be to stop.
            if nth > 0 && self.pressing.load(Ordering::Relaxed) {
                self.engine.list(place);
                return nth;
            }
            if !self.has_permit(context) {
                // Someone's comes back: the lane is to be looked at then.
                self.engine.list(place);
                return nth;
            }
            let Some(dispatch) = self.engine.take(place) else {
                return nth;
            };
            if !self.call(place, dispatch, now) {
                return nth;
            }
        }
        BURST
    }

    /// Calls a lane's service; whether it could be called.
    fn call(&mut self, place: u32, mut dispatch: Dispatch, now: Moment) -> bool {
        let Some(seated) = &mut self.lanes[place as usize] else {
            return false;
        };
        let record = dispatch.record.clone();
        let begin = || self.engine.begin(&mut dispatch);
        match seated.begin(&*self.make, record, begin) {
            Begun::Unready => {
                self.engine.put_back(dispatch, true);
                return false;
            }
            Begun::Ended(error) => {
                let offset = dispatch.record.offset();
                let generation = dispatch.generation();
                self.engine.put_back(dispatch, true);
                self.engine.stop_all();
                self.tell(Event::ServiceEnded(generation, offset, error));
                return false;
            }
            Begun::Panicked(panic) => self.engine.finish(dispatch, Err(panic.into()), now),
            Begun::Called(future) => match self.calls.start(future, self.spawn) {
                Ok(answer) => self.engine.finish(dispatch, answer, now),
                Err(place) => {
                    self.engine.running(&mut dispatch);
                    let permit = self.spare.take().expect("taken before the call");
                    self.calls.keep(place, (dispatch, permit));
                }
            },
        }
        true
    }

    /// Whether nothing is due yet; the task is woken when it is.
    fn is_early(&mut self, context: &mut Context<'_>) -> bool {
        let due = self.engine.next_due();
        // A wait may be longer than clocks count.
        let Some(due) = due.and_then(|due| self.started.checked_add(due)) else {
            return true;
        };
        let due = tokio::time::Instant::from_std(due);
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(context).is_pending()
    }

    fn tell_news(&mut self) {
        for news in self.engine.take_news() {
            self.tell(Event::News(news));
        }
    }

    fn tell(&self, event: Event) {
        self.farewell.1.tell(event);
    }
}

/// What came of the attempt to call a service.
enum Begun<F> {
    Called(F),
    Unready,
    /// It can't be called any more.
    Ended(BoxError),
    Panicked(PanicError),
}

impl<S> Seated<S>
where
    S: Service<ConsumerRecord, Error: Into<BoxError>>,
{
    /// Calls the service, if it is ready; `begin` is called just before.
    fn begin(
        &mut self,
        make: &impl Fn(&str, i32) -> S,
        record: ConsumerRecord,
        begin: impl FnOnce(),
    ) -> Begun<S::Future> {
        let Self {
            origin,
            service,
            ready,
            ..
        } = self;
        let begun = catch_unwind(AssertUnwindSafe(|| {
            // Made with a record in hand, so that a panic here is that record's failure.
            let service = service.get_or_insert_with(|| make(&origin.topic, origin.partition));
            ready.rearm();
            let mut context = Context::from_waker(ready.waker());
            match service.poll_ready(&mut context) {
                Poll::Ready(Ok(())) => {
                    begin();
                    Begun::Called(service.call(record))
                }
                Poll::Ready(Err(error)) => Begun::Ended(error.into()),
                Poll::Pending => Begun::Unready,
            }
        }));
        begun.unwrap_or_else(|panic| Begun::Panicked(PanicError::new(panic)))
    }
}
