use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Sleep, sleep};
use tower::Service;

use super::{
    ChaosError, ResponseFuture,
    fate::{End, Fate, Fates},
};
use crate::{
    error::{Classified, boxed},
    record::{Record, RecordService},
};

/// The service of a [`ChaosLayer`](super::ChaosLayer).
pub struct Chaos<S> {
    inner: S,
    fates: Arc<Fates>,
    readiness: Readiness,
}

/// What it says to the next call.
#[derive(Default)]
enum Readiness {
    #[default]
    Undrawn,
    Late(Pin<Box<Sleep>>),
    Never,
    Inner,
}

impl<S> Chaos<S> {
    pub(super) fn new(inner: S, fates: Arc<Fates>) -> Self {
        Self {
            inner,
            fates,
            readiness: Readiness::default(),
        }
    }

    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes the service out.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn poll_chaos(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Readiness::Undrawn = self.readiness {
            self.readiness = match self.fates.of_readiness() {
                None => Readiness::Inner,
                Some(Duration::MAX) => Readiness::Never,
                Some(time) => Readiness::Late(Box::pin(sleep(time))),
            };
        }
        match &mut self.readiness {
            Readiness::Never => return Poll::Pending,
            Readiness::Late(sleep) => ready!(sleep.as_mut().poll(cx)),
            Readiness::Undrawn | Readiness::Inner => {}
        }
        self.readiness = Readiness::Inner;
        Poll::Ready(())
    }
}

impl<R: Record, S: RecordService<R>> Service<R> for Chaos<S> {
    type Response = R::Done;
    type Error = R::Error;
    type Future = ResponseFuture<R, S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), R::Error>> {
        ready!(self.poll_chaos(cx));
        let ready = ready!(self.inner.poll_ready(cx));
        Poll::Ready(ready.map_err(|error| R::dead(boxed(error))))
    }

    fn call(&mut self, record: R) -> ResponseFuture<R, S> {
        mem::take(&mut self.readiness);
        let Fate { delay, end } = self.fates.of_call(&record.view());
        match end {
            End::Passes => {
                let kept = record.clone();
                ResponseFuture::calling(delay, self.inner.call(record), kept)
            }
            End::Fails => {
                let error = Classified::new(self.fates.rates.class, ChaosError);
                ResponseFuture::failing(delay, record.refuse(error.into()))
            }
            End::Panics => ResponseFuture::panicking(delay),
        }
    }
}

/// The fates are shared, readiness is not.
impl<S: Clone> Clone for Chaos<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.fates))
    }
}

impl<S: fmt::Debug> fmt::Debug for Chaos<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chaos")
            .field("inner", &self.inner)
            .field("fates", &self.fates)
            .finish_non_exhaustive()
    }
}
