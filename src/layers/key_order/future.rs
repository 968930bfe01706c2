use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::queues::Turn;
use crate::{
    error::{PublishError, boxed},
    record::{Delivery, ProducerRecord, Record, RecordService},
};

/// The future of a [`KeyOrder`](super::KeyOrder).
///
/// Cancel safety: dropped before its turn, the record is not published. Dropped later, it is the future
/// inside that decides, and the next of its key begins.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S: RecordService<ProducerRecord>> {
    #[pin]
    state: State<S, S::Future>,
    record: ProducerRecord,
    /// Held until the record is delivered or has failed.
    turn: Option<Turn>,
}

#[pin_project(project = StateProj)]
enum State<S, F> {
    Queued {
        // Taken when the turn comes.
        service: Option<S>,
        turn: oneshot::Receiver<Turn>,
        // Held as long as it waits, where it came by way of `poll_ready`.
        place: Option<OwnedSemaphorePermit>,
    },
    Readying(S),
    Calling(#[pin] F),
}

impl<S: RecordService<ProducerRecord>> ResponseFuture<S> {
    pub(super) fn calling(future: S::Future, record: ProducerRecord, turn: Option<Turn>) -> Self {
        Self {
            state: State::Calling(future),
            record,
            turn,
        }
    }

    pub(super) fn queued(
        service: S,
        record: ProducerRecord,
        turn: oneshot::Receiver<Turn>,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let service = Some(service);
        Self {
            state: State::Queued {
                service,
                turn,
                place,
            },
            record,
            turn: None,
        }
    }
}

impl<S: RecordService<ProducerRecord>> Future for ResponseFuture<S> {
    type Output = Result<Delivery, PublishError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Calling(future) => {
                    let result = ready!(future.poll(cx));
                    // The future may be kept for long after it has completed.
                    *this.turn = None;
                    return Poll::Ready(match result {
                        Ok(delivery) => Ok(delivery.into()),
                        Err(error) => Err(this.record.fail(boxed(error))),
                    });
                }
                StateProj::Queued { service, turn, .. } => {
                    let turn = ready!(Pin::new(turn).poll(cx));
                    *this.turn = Some(turn.expect("a turn is passed on, come what may"));
                    State::Readying(service.take().expect("its turn comes once"))
                }
                StateProj::Readying(service) => match ready!(service.poll_ready(cx)) {
                    Ok(()) => State::Calling(service.call(this.record.clone())),
                    Err(error) => {
                        *this.turn = None;
                        let error = ProducerRecord::dead(boxed(error));
                        return Poll::Ready(Err(error.or_record(this.record)));
                    }
                },
            };
            this.state.set(next);
        }
    }
}

impl<S: RecordService<ProducerRecord>> fmt::Debug for ResponseFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Queued { .. } => "queued",
            State::Readying(_) => "getting ready",
            State::Calling(_) => "calling",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
