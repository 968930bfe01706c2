use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::{FutureExt, future::BoxFuture};
use pin_project::pin_project;

use super::{
    death::Death,
    error::{AskedFor, TooOften},
    service::Shared,
    write::{undone, write},
};
use crate::{
    error::{BoxError, ErrorClass, PublishError, boxed, find_error},
    record::{ProducerRecord, Record, RecordService, Side, Verdict},
};

/// The future of a [`DeadLetterService`](super::DeadLetterService).
///
/// Cancel safety: dropped while a dead letter is being written, it may be written all the same, and
/// the record is not complete: it will be handled again.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<R: Record, P, S: RecordService<R>> {
    #[pin]
    state: State<R, S::Future>,
    // Taken when the record dies.
    record: Option<R>,
    shared: Arc<Shared<P>>,
}

#[pin_project(project = StateProj)]
enum State<R: Record, F> {
    Calling(#[pin] F),
    /// It came too often.
    Refused,
    // Boxed, since few records die and all would have to carry it.
    Writing(BoxFuture<'static, Result<R::Done, R::Error>>),
}

impl<R: Record, P, S: RecordService<R>> ResponseFuture<R, P, S> {
    pub(super) fn new(future: S::Future, record: R, shared: Arc<Shared<P>>) -> Self {
        Self {
            state: State::Calling(future),
            record: Some(record),
            shared,
        }
    }

    pub(super) fn refused(record: R, shared: Arc<Shared<P>>) -> Self {
        Self {
            state: State::Refused,
            record: Some(record),
            shared,
        }
    }
}

impl<R, P, S> Future for ResponseFuture<R, P, S>
where
    R: Record,
    P: RecordService<ProducerRecord> + Clone + Send + 'static,
    S: RecordService<R>,
{
    type Output = Result<R::Done, R::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let result = match this.state.as_mut().project() {
                StateProj::Writing(write) => return write.as_mut().poll(cx),
                StateProj::Refused => None,
                StateProj::Calling(future) => Some(ready!(future.poll(cx))),
            };
            let (class, error) = match result {
                None => {
                    let attempt = this
                        .record
                        .as_ref()
                        .map_or(1, |record| record.view().attempt);
                    (ErrorClass::NonRetriable, TooOften(attempt - 1).into())
                }
                Some(Ok(done)) => {
                    let done = done.into();
                    match R::verdict(&done) {
                        Verdict::DeadLetter { reason } => {
                            let asked = AskedFor(reason.to_owned());
                            (ErrorClass::NonRetriable, BoxError::from(asked))
                        }
                        Verdict::Retry { .. } | Verdict::Defer { .. } => {
                            return Poll::Ready(Ok(done));
                        }
                        Verdict::Done => {
                            if let Some(purse) = &this.shared.purse {
                                purse.lived();
                            }
                            return Poll::Ready(Ok(done));
                        }
                    }
                }
                Some(Err(error)) => {
                    let error = boxed(error);
                    (this.shared.settings.classify.classify(&*error), error)
                }
            };
            let record = this.record.take().expect("not polled after completion");
            if matches!(class, ErrorClass::Unavailable | ErrorClass::Fatal) || is_dead::<R>(&error)
            {
                return Poll::Ready(Err(record.fail(error)));
            }
            if let Some(purse) = &this.shared.purse
                && let Err(dead) = purse.spend()
            {
                let wait = purse.budget.wait();
                let deferred = wait.and_then(|wait| R::hand_back(wait, ErrorClass::Unavailable));
                return Poll::Ready(deferred.ok_or_else(|| {
                    let why = format!(
                        "the budget for dead letters is spent, {dead} records in a row have died; \
                         look for a cause that they share"
                    );
                    undone(&record, ErrorClass::Fatal, why, error)
                }));
            }
            let death = Death::new(R::SIDE, class, record.view().attempt, error);
            let write = write(Arc::clone(this.shared), record, death).boxed();
            this.state.set(State::Writing(write));
        }
    }
}

/// Whether a layer further inside has dead-lettered the record already.
fn is_dead<R: Record>(error: &BoxError) -> bool {
    let publish = find_error::<PublishError>(&**error).filter(|_| R::SIDE == Side::Publish);
    publish.is_some_and(|error| error.dead_letter().is_some())
}

impl<R: Record, P, S: RecordService<R>> fmt::Debug for ResponseFuture<R, P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Calling(_) => "calling",
            State::Refused => "refused",
            State::Writing(_) => "writing a dead letter",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
