use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use super::woken::{Bell, Part, Woken};
use crate::{
    error::{BoxError, PanicError},
    record::Outcome,
};

/// The running calls of a dispatcher. Places are used again, so that a call that ends at once
/// allocates nothing.
pub(super) struct Calls<F, J> {
    places: Vec<Place<F, J>>,
    vacant: Vec<u32>,
    woken: Arc<Woken>,
}

struct Place<F, J> {
    call: Pin<Box<Call<F>>>,
    bell: Bell,
    job: Option<J>,
}

#[pin_project(project = CallPinned)]
enum Call<F> {
    None,
    Here(#[pin] F),
    Spawned(AbortOnDropHandle<Result<Outcome, BoxError>>),
}

/// What came of a call.
pub(super) type Answer = Result<Outcome, BoxError>;

impl<F, R, E, J> Calls<F, J>
where
    F: Future<Output = Result<R, E>> + Send + 'static,
    R: Into<Outcome>,
    E: Into<BoxError>,
{
    pub(super) fn new(woken: Arc<Woken>) -> Self {
        Self {
            places: Vec::new(),
            vacant: Vec::new(),
            woken,
        }
    }

    /// Polls a call for the first time; pending, it gets a place, where [`keep`](Self::keep) puts
    /// what belongs to it.
    pub(super) fn start(&mut self, future: F, spawn: bool) -> Result<Answer, u32> {
        let index = match self.vacant.last() {
            Some(index) => *index,
            None => self.new_place(),
        };
        let place = &mut self.places[index as usize];
        place.call.set(match spawn {
            false => Call::Here(future),
            true => Call::Spawned(AbortOnDropHandle::new(tokio::spawn(async {
                answer(future.await)
            }))),
        });
        match place.poll() {
            Poll::Ready(answer) => Ok(answer),
            Poll::Pending => {
                self.vacant.pop();
                Err(index)
            }
        }
    }

    pub(super) fn keep(&mut self, index: u32, job: J) {
        self.places[index as usize].job = Some(job);
    }

    /// Polls a call that was woken.
    pub(super) fn poll(&mut self, index: u32) -> Option<(J, Answer)> {
        let place = &mut self.places[index as usize];
        place.job.as_ref()?;
        match place.poll() {
            Poll::Ready(answer) => {
                self.vacant.push(index);
                Some((place.job.take()?, answer))
            }
            Poll::Pending => None,
        }
    }

    /// Drops the calls whose jobs are wanted, and gives these.
    pub(super) fn cancel(&mut self, wanted: impl Fn(&J) -> bool) -> Vec<J> {
        let mut cancelled = Vec::new();
        for (index, place) in (0..).zip(&mut self.places) {
            if place.job.as_ref().is_some_and(&wanted) {
                place.clear();
                self.vacant.push(index);
                cancelled.extend(place.job.take());
            }
        }
        cancelled
    }

    fn new_place(&mut self) -> u32 {
        let index = u32::try_from(self.places.len()).expect("fewer calls than 2^32");
        self.places.push(Place {
            call: Box::pin(Call::None),
            bell: self.woken.bell(Part::Call(index)),
            job: None,
        });
        self.vacant.push(index);
        index
    }
}

impl<F, R, E, J> Place<F, J>
where
    F: Future<Output = Result<R, E>>,
    R: Into<Outcome>,
    E: Into<BoxError>,
{
    fn poll(&mut self) -> Poll<Answer> {
        self.bell.rearm();
        let mut context = Context::from_waker(self.bell.waker());
        let call = &mut self.call;
        // The future, its conversions and its destructor are the user's code.
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let answered = ready!(call.as_mut().poll(&mut context));
            call.set(Call::None);
            Poll::Ready(answered)
        }));
        polled.unwrap_or_else(|panic| {
            self.clear();
            Poll::Ready(Err(PanicError::new(panic).into()))
        })
    }
}

impl<F, J> Place<F, J> {
    /// Drops the call, whatever its destructor does.
    fn clear(&mut self) {
        let call = &mut self.call;
        let _ = catch_unwind(AssertUnwindSafe(|| call.set(Call::None)));
    }
}

impl<F, R, E> Call<F>
where
    F: Future<Output = Result<R, E>>,
    R: Into<Outcome>,
    E: Into<BoxError>,
{
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        match self.project() {
            CallPinned::Here(future) => future.poll(context).map(answer),
            CallPinned::Spawned(task) => {
                let joined = ready!(Pin::new(task).poll(context));
                Poll::Ready(joined.unwrap_or_else(|error| Err(lost(error))))
            }
            CallPinned::None => Poll::Pending,
        }
    }
}

fn answer<R: Into<Outcome>, E: Into<BoxError>>(result: Result<R, E>) -> Answer {
    result.map(Into::into).map_err(Into::into)
}

fn lost(error: JoinError) -> BoxError {
    match error.try_into_panic() {
        Ok(panic) => PanicError::new(panic).into(),
        Err(cancelled) => cancelled.into(),
    }
}
