use std::{
    error::Error,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project::pin_project;
use tokio::time::{Sleep, sleep};
use tracing::{debug, info};

use super::{
    ledger::Account,
    policy::{Case, Decision},
    service::Shared,
};
use crate::{
    error::{BoxError, ErrorClass, Failure, GaveUp, RetryError, boxed, message},
    record::{Record, RecordService, Side, Verdict},
};

/// The future of a [`Retry`](super::Retry).
///
/// Cancel safety: dropping it drops the attempt at hand, and there is no further one.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<R: Record, S: RecordService<R>> {
    #[pin]
    state: State<S::Future>,
    record: R,
    shared: Arc<Shared<S>>,
    /// For further attempts; there is none before the first of them.
    service: Option<S>,
    attempts: u32,
    next: Counts,
    account: Account,
    possibly_persisted: bool,
}

#[pin_project(project = StateProj)]
enum State<F> {
    Calling(#[pin] F),
    // Boxed, since most futures never wait and all would have to carry it.
    Waiting(Pin<Box<Sleep>>),
    Readying,
}

/// Whether a repetition counts as an attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    Yes,
    No,
}

/// What a failed attempt leads to.
enum Next<R: Record> {
    Wait(Duration),
    Answer(Result<R::Done, R::Error>),
}

impl<R: Record, S: RecordService<R> + Clone> ResponseFuture<R, S> {
    pub(super) fn new(future: S::Future, record: R, shared: Arc<Shared<S>>) -> Self {
        let attempts = match R::SIDE {
            Side::Consume => record.view().attempt,
            // A publish begins here, whatever stands above.
            Side::Publish => 1,
        };
        Self {
            state: State::Calling(future),
            record,
            shared,
            service: None,
            attempts,
            next: Counts::No,
            account: Account::default(),
            possibly_persisted: false,
        }
    }
}

impl<R: Record, S: RecordService<R> + Clone> Future for ResponseFuture<R, S> {
    type Output = Result<R::Done, R::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let mut this = self.as_mut().project();
            match this.state.as_mut().project() {
                StateProj::Calling(future) => {
                    let next = match ready!(future.poll(cx)) {
                        Ok(done) => self.as_mut().answered(done.into()),
                        Err(error) => self.as_mut().failed(boxed(error), None),
                    };
                    match next {
                        Next::Answer(answer) => return Poll::Ready(answer),
                        Next::Wait(after) => {
                            let sleep = Box::pin(sleep(after));
                            self.as_mut().project().state.set(State::Waiting(sleep));
                        }
                    }
                }
                StateProj::Waiting(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    this.state.set(State::Readying);
                }
                StateProj::Readying => {
                    let shared = &this.shared;
                    let service = this.service.get_or_insert_with(|| shared.service());
                    match ready!(service.poll_ready(cx)) {
                        Ok(()) => {
                            if *this.next == Counts::Yes {
                                *this.attempts = this.attempts.saturating_add(1);
                                this.record.set_attempt(*this.attempts);
                            }
                            let future = service.call(this.record.clone());
                            this.state.set(State::Calling(future));
                        }
                        Err(error) => {
                            let error = boxed(error);
                            let class = this.shared.policy.classify.classify(&*error);
                            let error = self.as_mut().give_up(class, GaveUp::NotRetriable, error);
                            return Poll::Ready(Err(error));
                        }
                    }
                }
            }
        }
    }
}

impl<R: Record, S: RecordService<R>> ResponseFuture<R, S> {
    fn answered(self: Pin<&mut Self>, mut done: R::Done) -> Next<R> {
        match R::verdict(&done) {
            Verdict::Retry { after } => {
                return self.failed(AskedFor.into(), after);
            }
            Verdict::Defer { after } if self.waits_in_place() => {
                *self.project().next = Counts::No;
                return Next::Wait(after);
            }
            Verdict::Defer { .. } => return Next::Answer(Ok(done)),
            Verdict::Done | Verdict::DeadLetter { .. } => {}
        }
        let this = self.project();
        this.shared.policy.deposit();
        if *this.attempts > 1 {
            R::count_attempts(&mut done, *this.attempts);
            this.shared.ledger.take(&this.record.view());
        }
        Next::Answer(Ok(done))
    }

    /// Decides about a failed attempt. A wait that the service asked for goes before all others.
    fn failed(mut self: Pin<&mut Self>, error: BoxError, asked: Option<Duration>) -> Next<R> {
        let in_place = self.waits_in_place();
        let this = self.as_mut().project();
        let policy = &this.shared.policy;
        let class = policy.classify.classify(&*error);
        let repeatable = R::repeatable(&*error);
        *this.possibly_persisted |= !repeatable;
        if !in_place {
            *this.account = this.shared.ledger.take(&this.record.view());
            if this.account.next_attempt != *this.attempts {
                *this.account = Account::default();
            }
        }
        if class == ErrorClass::Unavailable && R::SIDE == Side::Consume {
            this.account.waits += 1;
        } else {
            this.account.waits = 0;
            this.account.failures.push(Failure::now(class, &*error));
        }
        let decision = policy.decide(Case {
            side: R::SIDE,
            class,
            hint: asked.or_else(|| policy.classify.retry_after(&*error)),
            attempts: *this.attempts,
            waits: this.account.waits,
            elapsed: this.account.failures.elapsed(),
            repeatable,
        });
        let (after, counts) = match decision {
            Decision::GiveUp(reason) => {
                return Next::Answer(Err(self.give_up(class, reason, error)));
            }
            Decision::Retry(after) => (after, Counts::Yes),
            Decision::Defer(after) => (after, Counts::No),
        };
        let view = this.record.view();
        macro_rules! tell {
            ($level:ident, $what:literal) => {
                $level!(
                    topic = view.topic,
                    partition = view.partition,
                    offset = view.offset,
                    attempt = *this.attempts,
                    ?after,
                    error = message(&*error),
                    $what
                )
            };
        }
        match (R::SIDE, counts) {
            (Side::Consume, Counts::Yes) => tell!(info, "a record failed and comes back"),
            // The trace layer makes an event of it.
            (Side::Publish, Counts::Yes) => tell!(debug, "a record failed and comes back"),
            // Of these there may be many, with the same to say.
            (_, Counts::No) => tell!(debug, "a record is put off"),
        }
        if !in_place {
            let (class, next) = match counts {
                Counts::Yes => (ErrorClass::Retriable, this.attempts.saturating_add(1)),
                Counts::No => (ErrorClass::Unavailable, *this.attempts),
            };
            if let Some(done) = R::hand_back(after, class) {
                this.account.next_attempt = next;
                this.shared
                    .ledger
                    .put(&view, mem::take(this.account), after);
                return Next::Answer(Ok(done));
            }
        }
        *this.next = counts;
        this.record.adopt(&*error);
        let next = this
            .attempts
            .saturating_add(u32::from(counts == Counts::Yes));
        this.record.retry_scheduled(next, after);
        Next::Wait(after)
    }

    fn give_up(
        self: Pin<&mut Self>,
        class: ErrorClass,
        reason: GaveUp,
        error: BoxError,
    ) -> R::Error {
        let this = self.project();
        this.record.adopt(&*error);
        let failures = mem::take(&mut this.account.failures);
        let error = RetryError::new(class, reason, *this.attempts, failures, error)
            .with_possibly_persisted(*this.possibly_persisted);
        this.record.fail(error.into())
    }

    fn waits_in_place(&self) -> bool {
        R::SIDE == Side::Publish || self.shared.policy.in_place
    }
}

/// The service answered that it wants another attempt.
#[derive(Debug)]
struct AskedFor;

impl fmt::Display for AskedFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the service asked for another attempt")
    }
}

impl Error for AskedFor {}

impl<R: Record, S: RecordService<R>> fmt::Debug for ResponseFuture<R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Calling(_) => "calling",
            State::Waiting(_) => "waiting",
            State::Readying => "getting ready",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}
