use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower::Service;

use super::layer::Make;
use crate::record::{MessageId, ProducerRecord};

/// The service of a [`MessageIdLayer`](super::MessageIdLayer).
#[derive(Clone)]
pub struct MessageIdService<S> {
    inner: S,
    make: Option<Arc<Make>>,
}

impl<S> MessageIdService<S> {
    pub(super) fn new(inner: S, make: Option<Arc<Make>>) -> Self {
        Self { inner, make }
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

impl<S: Service<ProducerRecord>> Service<ProducerRecord> for MessageIdService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut record: ProducerRecord) -> S::Future {
        if record.message_id.is_none() {
            let made = self.make.as_ref().and_then(|make| make(&record));
            record.message_id = Some(made.unwrap_or_else(MessageId::new));
        }
        self.inner.call(record)
    }
}

impl<S: fmt::Debug> fmt::Debug for MessageIdService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageIdService")
            .field("inner", &self.inner)
            .field("generates", &self.make.is_none())
            .finish()
    }
}
