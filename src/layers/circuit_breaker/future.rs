use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tracing::warn;

use super::{
    circuit::{Sign, Ticket, Turn},
    circuits::Circuits,
    service::Shared,
};
use crate::{
    error::{BoxError, Classify, ErrorClass, boxed, message},
    record::{Record, RecordService, Verdict},
};

/// The future of a [`CircuitBreaker`](super::CircuitBreaker).
///
/// Cancel safety: that of the future inside. A dropped call counts neither as failure nor as success;
/// a probe leaves its turn to another call.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<R: Record, S: RecordService<R>>(#[pin] State<R, S::Future>);

#[pin_project(project = StateProj)]
enum State<R: Record, F> {
    Calling {
        #[pin]
        future: F,
        record: R,
        ticket: Option<Ticket>,
        shared: Arc<Shared>,
    },
    Answered(Option<Result<R::Done, R::Error>>),
}

impl<R: Record, S: RecordService<R>> ResponseFuture<R, S> {
    pub(super) fn calling(
        future: S::Future,
        record: R,
        ticket: Option<Ticket>,
        shared: Arc<Shared>,
    ) -> Self {
        Self(State::Calling {
            future,
            record,
            ticket,
            shared,
        })
    }

    pub(super) fn answered(answer: Result<R::Done, R::Error>) -> Self {
        Self(State::Answered(Some(answer)))
    }
}

impl<R: Record, S: RecordService<R>> Future for ResponseFuture<R, S> {
    type Output = Result<R::Done, R::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (future, record, ticket, shared) = match self.project().0.project() {
            StateProj::Calling {
                future,
                record,
                ticket,
                shared,
            } => (future, record, ticket, shared),
            StateProj::Answered(answer) => {
                return Poll::Ready(answer.take().expect("not polled after completion"));
            }
        };
        let result = match ready!(future.poll(cx)) {
            Ok(done) => Ok(done.into()),
            Err(error) => Err(boxed(error)),
        };
        let sign = sign::<R>(&result, &*shared.classify);
        let turn = match (&*shared.circuits, ticket.take()) {
            (Circuits::Scoped(scoped), ticket) => scoped.settle(&record.view(), ticket, sign),
            (Circuits::One(_), Some(ticket)) => ticket.settle(sign),
            (Circuits::One(_), None) => None,
        };
        if let Some(turn) = turn {
            tell(turn, record, result.as_ref().err());
        }
        Poll::Ready(result.map_err(|error| record.fail(error)))
    }
}

/// Says on which topic's account a circuit opened or closed. Its key, where each has a circuit, isn't logged.
fn tell<R: Record>(turn: Turn, record: &R, error: Option<&BoxError>) {
    let view = record.view();
    match turn {
        Turn::Opened(open_for) => warn!(
            topic = view.topic,
            partition = view.partition,
            ?open_for,
            error = error.map_or_else(
                || "the answer asks to come again".into(),
                |one| message(&**one)
            ),
            "a circuit opened: too many calls failed"
        ),
        Turn::Closed => warn!(
            topic = view.topic,
            partition = view.partition,
            "a circuit closed: the probe succeeded"
        ),
    }
}

fn sign<R: Record>(result: &Result<R::Done, BoxError>, classify: &dyn Classify) -> Sign {
    match result {
        Ok(done) => match R::verdict(done) {
            Verdict::Done => Sign::Success,
            Verdict::Retry { .. } | Verdict::Defer { .. } => Sign::Failure,
            Verdict::DeadLetter { .. } => Sign::Nothing,
        },
        Err(error) => match classify.classify(&**error) {
            ErrorClass::Retriable | ErrorClass::Unavailable => Sign::Failure,
            ErrorClass::NonRetriable | ErrorClass::Fatal => Sign::Nothing,
        },
    }
}

impl<R: Record, S: RecordService<R>> fmt::Debug for ResponseFuture<R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
