use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project::pin_project;
use tokio::time::{Sleep, sleep};

use crate::{
    error::boxed,
    record::{Record, RecordService},
};

/// The future of a [`Chaos`](super::Chaos).
///
/// Cancel safety: that of the future inside.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<R: Record, S: RecordService<R>> {
    #[pin]
    delay: Option<Sleep>,
    #[pin]
    state: State<R, S::Future, R::Error>,
}

#[pin_project(project = StateProj)]
enum State<R, F, E> {
    Calling {
        #[pin]
        future: F,
        record: R,
    },
    Failing(Option<E>),
    Panicking,
}

impl<R: Record, S: RecordService<R>> ResponseFuture<R, S> {
    fn new(delay: Option<Duration>, state: State<R, S::Future, R::Error>) -> Self {
        Self {
            delay: delay.map(sleep),
            state,
        }
    }

    pub(super) fn calling(delay: Option<Duration>, future: S::Future, record: R) -> Self {
        Self::new(delay, State::Calling { future, record })
    }

    pub(super) fn failing(delay: Option<Duration>, error: R::Error) -> Self {
        Self::new(delay, State::Failing(Some(error)))
    }

    pub(super) fn panicking(delay: Option<Duration>) -> Self {
        Self::new(delay, State::Panicking)
    }
}

impl<R: Record, S: RecordService<R>> Future for ResponseFuture<R, S> {
    type Output = Result<R::Done, R::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(delay) = this.delay.as_mut().as_pin_mut() {
            ready!(delay.poll(cx));
            this.delay.set(None);
        }
        match this.state.project() {
            StateProj::Calling { future, record } => match ready!(future.poll(cx)) {
                Ok(done) => Poll::Ready(Ok(done.into())),
                Err(error) => Poll::Ready(Err(record.fail(boxed(error)))),
            },
            StateProj::Failing(error) => {
                Poll::Ready(Err(error.take().expect("not polled after completion")))
            }
            StateProj::Panicking => panic!("a panic of the chaos layer"),
        }
    }
}

impl<R: Record, S: RecordService<R>> fmt::Debug for ResponseFuture<R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
