//! The dispatchers: tasks that own lanes, call their services and tell the engine what came of it.
//!
//! A call's future is polled once inside the dispatcher, at once; only what is pending then takes a
//! place among the running ones.

mod calls;
#[cfg(all(test, loom))]
mod models;
mod orders;
mod permits;
mod seat;
mod seated;
mod woken;

use std::{
    future::poll_fn,
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc::UnboundedReceiver},
    time::Sleep,
};
use tower::Service;

use self::{
    calls::Calls,
    permits::Permits,
    seat::Farewell,
    seated::{Begun, Seated},
    woken::{Part, Woken},
};
pub(super) use self::{
    orders::{NewLane, Order},
    seat::{Event, Reporter, Seat},
};
use super::engine::{Dispatch, Engine, Moment};
use crate::{
    error::BoxError,
    record::{ConsumerRecord, Outcome},
};

/// How many records of a lane are dispatched before the next lane has its turn.
const BURST: usize = 64;
/// How many are dispatched before the other tasks of the runtime have theirs.
const TURN: usize = 1024;

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
        permits: Permits::new(seat.permits),
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
    permits: Permits,
    spawn: bool,
    started: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

/// What belongs to a running call.
type Job = (Dispatch, OwnedSemaphorePermit);

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
        self.permits.release(self.engine.has_ready());
        Poll::Pending
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
                        self.permits.give_back(permit);
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
            if !self.permits.poll_spare(context) {
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

    /// Dispatches some records of one lane; how many it were.
    fn dispatch_lane(&mut self, context: &mut Context<'_>, place: u32, now: Moment) -> usize {
        for nth in 0..BURST {
            // A call that ends at once may take long all the same, and the order may be to stop.
            if nth > 0 && self.pressing.load(Ordering::Relaxed) {
                self.engine.list(place);
                return nth;
            }
            if !self.permits.poll_spare(context) {
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
                    let permit = self.permits.take().expect("taken before the call");
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
