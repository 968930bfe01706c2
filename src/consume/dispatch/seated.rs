use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
};

use tower::Service;

use super::woken;
use crate::{
    consume::unread,
    error::{BoxError, PanicError},
    record::{ConsumerRecord, chunk::Origin},
};

/// A lane's place in its dispatcher.
pub(super) struct Seated<S> {
    pub(super) origin: Arc<Origin>,
    pub(super) service: Option<S>,
    pub(super) ready: woken::Bell,
    pub(super) unread: Arc<unread::Bell>,
}

/// What came of the attempt to call a service.
pub(super) enum Begun<F> {
    Called(F),
    Unready,
    /// It can't be called any more.
    Ended(BoxError),
    Panicked(PanicError),
}

impl<S> Seated<S>
where
    S: Service<ConsumerRecord, Error: Into<BoxError>>,
{
    /// Calls the service, if it is ready; `begin` is called just before.
    pub(super) fn begin(
        &mut self,
        make: &impl Fn(&str, i32) -> S,
        record: ConsumerRecord,
        begin: impl FnOnce(),
    ) -> Begun<S::Future> {
        let Self {
            origin,
            service,
            ready,
            ..
        } = self;
        let begun = catch_unwind(AssertUnwindSafe(|| {
            // Made with a record in hand, so that a panic here is that record's failure.
            let service = service.get_or_insert_with(|| make(&origin.topic, origin.partition));
            ready.rearm();
            let mut context = Context::from_waker(ready.waker());
            match service.poll_ready(&mut context) {
                Poll::Ready(Ok(())) => {
                    begin();
                    Begun::Called(service.call(record))
                }
                Poll::Ready(Err(error)) => Begun::Ended(error.into()),
                Poll::Pending => Begun::Unready,
            }
        }));
        begun.unwrap_or_else(|panic| Begun::Panicked(PanicError::new(panic)))
    }
}
