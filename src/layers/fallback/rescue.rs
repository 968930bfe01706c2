use std::{error::Error, fmt, future::Future, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use tower::ServiceExt;

use crate::{
    error::{BoxError, boxed},
    record::{ProducerRecord, Record, RecordService},
};

/// What a [`FallbackLayer`](super::FallbackLayer) falls back to: functions, [`ToService`], [`ToTopic`].
pub trait Rescue<R: Record>: Clone + Send + 'static {
    /// The answer to come.
    type Future: Future<Output = Result<R::Done, R::Error>> + Send + 'static;

    /// Takes the record that failed, and its error.
    fn rescue(self, record: R, error: R::Error) -> Self::Future;
}

impl<R, F, Fut, T, E> Rescue<R> for F
where
    R: Record,
    F: FnOnce(R, R::Error) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Into<R::Done>,
    E: Into<BoxError> + 'static,
{
    type Future = BoxFuture<'static, Result<R::Done, R::Error>>;

    fn rescue(self, record: R, error: R::Error) -> Self::Future {
        let kept = record.clone();
        let answer = self(record, error);
        async move {
            match answer.await {
                Ok(done) => Ok(done.into()),
                Err(error) => Err(kept.fail(boxed(error))),
            }
        }
        .boxed()
    }
}

/// Another service to fall back to.
#[derive(Debug, Clone)]
pub struct ToService<S>(S);

impl<S> ToService<S> {
    pub(super) fn new(service: S) -> Self {
        Self(service)
    }
}

impl<R, S> Rescue<R> for ToService<S>
where
    R: Record,
    S: RecordService<R> + Clone + Send + 'static,
{
    type Future = BoxFuture<'static, Result<R::Done, R::Error>>;

    fn rescue(self, record: R, first: R::Error) -> Self::Future {
        async move {
            match self.0.oneshot(record.clone()).await {
                Ok(done) => Ok(done.into()),
                Err(error) => Err(record.fail(FailedToo::of(first, error))),
            }
        }
        .boxed()
    }
}

/// Another topic to fall back to.
#[derive(Debug, Clone)]
pub struct ToTopic<P> {
    publisher: P,
    topic: Arc<str>,
}

impl<P> ToTopic<P> {
    pub(super) fn new(publisher: P, topic: Arc<str>) -> Self {
        Self { publisher, topic }
    }
}

impl<R, P> Rescue<R> for ToTopic<P>
where
    R: Record,
    P: RecordService<ProducerRecord> + Clone + Send + 'static,
{
    type Future = BoxFuture<'static, Result<R::Done, R::Error>>;

    fn rescue(self, record: R, first: R::Error) -> Self::Future {
        let copy = record.to_producer_record(self.topic);
        async move {
            match self.publisher.oneshot(copy).await {
                Ok(delivery) => Ok(delivery.into().into()),
                Err(error) => Err(record.fail(FailedToo::of(first, error))),
            }
        }
        .boxed()
    }
}

/// Both the service and its fallback failed. The class is that of the fallback's error.
#[derive(Debug)]
struct FailedToo {
    first: BoxError,
    fallback: BoxError,
}

impl FailedToo {
    fn of(
        first: impl Into<BoxError> + 'static,
        fallback: impl Into<BoxError> + 'static,
    ) -> BoxError {
        let error = Self {
            first: boxed(first),
            fallback: boxed(fallback),
        };
        error.into()
    }
}

impl fmt::Display for FailedToo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, and the fallback failed as well", self.first)
    }
}

impl Error for FailedToo {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.fallback)
    }
}
