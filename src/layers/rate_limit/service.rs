use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio_util::sync::ReusableBoxFuture;
use tower::Service;

use super::bucket::Bucket;
use crate::record::{Record, RecordService};

/// The service of a [`RateLimitLayer`](super::RateLimitLayer).
pub struct RateLimit<S> {
    inner: S,
    bucket: Arc<Bucket>,
    token: Token,
}

/// The right to the next call.
enum Token {
    Missing,
    Awaited(ReusableBoxFuture<'static, ()>),
    Taken,
}

impl<S> RateLimit<S> {
    pub(super) fn new(inner: S, bucket: Arc<Bucket>) -> Self {
        Self {
            inner,
            bucket,
            token: Token::Missing,
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
        loop {
            match &mut self.token {
                Token::Taken => return self.inner.poll_ready(cx),
                Token::Missing if self.bucket.try_take() => self.token = Token::Taken,
                Token::Missing => {
                    let token = Arc::clone(&self.bucket).take();
                    self.token = Token::Awaited(ReusableBoxFuture::new(token));
                }
                Token::Awaited(token) => {
                    ready!(token.poll(cx));
                    self.token = Token::Taken;
                }
            }
        }
    }

    /// # Panics
    ///
    /// Without a `poll_ready` that answered `Ready` before.
    fn call(&mut self, record: R) -> S::Future {
        let token = std::mem::replace(&mut self.token, Token::Missing);
        assert!(
            matches!(token, Token::Taken),
            "no token was taken; `poll_ready` must be called first"
        );
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
