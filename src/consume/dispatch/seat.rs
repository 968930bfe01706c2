use std::{
    sync::{Arc, atomic::AtomicBool, mpsc},
    time::Instant,
};

use tokio::sync::{Semaphore, mpsc::UnboundedReceiver};

use super::Order;
use crate::{
    consume::{
        control::Wake,
        engine::{Bounds, Counts, News},
        summary::Undone,
    },
    error::BoxError,
};

/// What a dispatcher tells.
pub(crate) enum Event {
    News(News),
    /// `poll_ready` failed, with this offset in hand.
    ServiceEnded(u64, i64, BoxError),
    /// What was begun in a closed lane, and is not complete.
    Closed(u64, Vec<(i64, Undone)>),
    /// The dispatcher of this number is no more.
    Gone(usize),
}

/// What a dispatcher is made of.
pub(crate) struct Seat {
    pub(crate) number: usize,
    pub(crate) orders: UnboundedReceiver<Order>,
    /// Set behind an order that is not to wait for the end of a turn.
    pub(crate) pressing: Arc<AtomicBool>,
    pub(crate) reporter: Reporter,
    pub(crate) bounds: Bounds,
    pub(crate) counts: Arc<Counts>,
    /// One for each record that may be running, shared by all dispatchers.
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) spawn_handlers: bool,
    pub(crate) started: Instant,
}

pub(crate) struct Reporter {
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) wake: Wake,
}

impl Reporter {
    pub(super) fn tell(&self, event: Event) {
        // The poll thread is gone only when nobody wants to know any more.
        let _ = self.events.send(event);
        self.wake.wake();
    }
}

/// Says that the dispatcher is gone, also when its task panics or is dropped.
pub(super) struct Farewell(pub(super) usize, pub(super) Reporter);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.1.tell(Event::Gone(self.0));
    }
}
