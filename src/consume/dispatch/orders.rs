use std::{
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use tokio::sync::oneshot;
use tower::Service;

use super::{Dispatcher, Event, Part, Seated};
use crate::{
    consume::{engine::Opening, summary::Undone, unread},
    error::{BoxError, let_go},
    record::{ConsumerRecord, Outcome, chunk::Origin},
};

/// What a dispatcher is told.
pub(crate) enum Order {
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
    pub(crate) fn is_pressing(&self) -> bool {
        matches!(
            self,
            Self::Pause(..) | Self::Stop(_) | Self::StopAll | Self::Cancel(..) | Self::Close(_)
        )
    }
}

pub(crate) struct NewLane {
    pub(crate) generation: u64,
    pub(crate) origin: Arc<Origin>,
    pub(crate) opening: Opening,
    pub(crate) bell: Arc<unread::Bell>,
}

impl<M, S> Dispatcher<M, S>
where
    M: Fn(&str, i32) -> S,
    S: Service<ConsumerRecord, Response: Into<Outcome>, Error: Into<BoxError>>,
    S::Future: Send + 'static,
{
    /// Acts upon what has come; ready when nobody gives orders any more.
    pub(super) fn take_orders(&mut self, context: &mut Context<'_>) -> Poll<()> {
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
                    let_go(seated);
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
}
