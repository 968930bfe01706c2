use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;

use super::{Rescue, layer::When};
use crate::{
    error::boxed,
    record::{Record, RecordService},
};

/// The future of a [`Fallback`](super::Fallback).
///
/// Cancel safety: that of the service's future, or the fallback's when that has begun.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<R: Record, F: Rescue<R>, S: RecordService<R>> {
    #[pin]
    state: State<R, F, S>,
    when: Option<Arc<When>>,
}

#[pin_project(project = StateProj)]
enum State<R: Record, F: Rescue<R>, S: RecordService<R>> {
    Calling {
        #[pin]
        future: S::Future,
        // Taken out when they are needed, for the fallback's future takes their place.
        spare: Option<(R, F)>,
    },
    FallingBack(#[pin] F::Future),
}

impl<R: Record, F: Rescue<R>, S: RecordService<R>> ResponseFuture<R, F, S> {
    pub(super) fn new(future: S::Future, record: R, rescue: F, when: Option<Arc<When>>) -> Self {
        let spare = Some((record, rescue));
        Self {
            state: State::Calling { future, spare },
            when,
        }
    }
}

impl<R: Record, F: Rescue<R>, S: RecordService<R>> Future for ResponseFuture<R, F, S> {
    type Output = Result<R::Done, R::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::FallingBack(future) => return future.poll(cx),
                StateProj::Calling { future, spare } => {
                    let error = match ready!(future.poll(cx)) {
                        Ok(done) => return Poll::Ready(Ok(done.into())),
                        Err(error) => boxed(error),
                    };
                    let falls_back = this.when.as_ref().is_none_or(|when| when(&*error));
                    let (record, rescue) = spare.take().expect("not polled after completion");
                    let error = record.fail(error);
                    if !falls_back {
                        return Poll::Ready(Err(error));
                    }
                    rescue.rescue(record, error)
                }
            };
            this.state.set(State::FallingBack(next));
        }
    }
}

impl<R: Record, F: Rescue<R>, S: RecordService<R>> fmt::Debug for ResponseFuture<R, F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
