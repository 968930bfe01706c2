use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::time::{Sleep, sleep};
use tower::Service;

use super::bucket::{Bucket, Token};
use crate::record::{Record, RecordService};

/// The service of a [`RateLimitLayer`](super::RateLimitLayer).
pub struct RateLimit<S> {
    inner: S,
    bucket: Arc<Bucket>,
    /// The right to the next call, and what is left of the wait for it.
    token: Option<(Token, Option<Pin<Box<Sleep>>>)>,
}

impl<S> RateLimit<S> {
    pub(super) fn new(inner: S, bucket: Arc<Bucket>) -> Self {
        Self {
            inner,
            bucket,
            token: None,
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
}

impl<R: Record, S: RecordService<R>> Service<R> for RateLimit<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    /// Takes a token, which stays with this clone until it is called.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let (_, wait) = self.token.get_or_insert_with(|| {
            let token = self.bucket.take();
            let wait = (!token.wait.is_zero()).then(|| Box::pin(sleep(token.wait)));
            (token, wait)
        });
        if let Some(sleep) = wait {
            ready!(sleep.as_mut().poll(cx));
            *wait = None;
        }
        self.inner.poll_ready(cx)
    }

    /// # Panics
    ///
    /// Without a `poll_ready` that answered `Ready` before.
    fn call(&mut self, record: R) -> S::Future {
        let Some((token, None)) = self.token.take() else {
            panic!("no token was taken; `poll_ready` must be called first");
        };
        token.spend();
        self.inner.call(record)
    }
}

impl<S: Clone> Clone for RateLimit<S> {
    /// The clone shares everything but the token that was taken.
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.bucket))
    }
}

impl<S: fmt::Debug> fmt::Debug for RateLimit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
