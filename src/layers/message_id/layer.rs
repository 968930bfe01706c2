use std::{fmt, sync::Arc};

use tower::Layer;

use super::MessageIdService;
use crate::record::{IntoBytes, MessageId, ProducerRecord};

/// Gives each record an id, see [`layers::message_id`](super).
///
/// By default that is a UUID of version 7.
#[derive(Clone, Default)]
#[must_use = "a layer does nothing until it is put around a service"]
pub struct MessageIdLayer {
    pub(super) make: Option<Arc<Make>>,
}

pub(super) type Make = dyn Fn(&ProducerRecord) -> Option<MessageId> + Send + Sync;

impl MessageIdLayer {
    /// Generates ids.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes ids of the records themselves; one is generated where the function gives none.
    pub fn with(
        make: impl Fn(&ProducerRecord) -> Option<MessageId> + Send + Sync + 'static,
    ) -> Self {
        Self {
            make: Some(Arc::new(make)),
        }
    }

    /// Takes ids from a header, where the record has it and its value is UTF-8.
    pub fn from_header(name: impl IntoBytes) -> Self {
        let name = name.into_bytes();
        Self::with(move |record| {
            let id = record.headers.get(&name)?;
            std::str::from_utf8(id).ok().map(MessageId::from)
        })
    }
}

impl<S> Layer<S> for MessageIdLayer {
    type Service = MessageIdService<S>;

    fn layer(&self, inner: S) -> MessageIdService<S> {
        MessageIdService::new(inner, self.make.clone())
    }
}

impl fmt::Debug for MessageIdLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageIdLayer")
            .field("generates", &self.make.is_none())
            .finish()
    }
}
