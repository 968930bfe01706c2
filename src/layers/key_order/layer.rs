use std::sync::Arc;

use tower::Layer;

use super::{KeyOrder, queues::Queues};

/// Keeps the order of keys, see [`layers::key_order`](super).
///
/// The order holds among all services that are made with it and with its clones.
#[derive(Debug, Clone, Default)]
#[must_use = "a layer does nothing until it is put around a service"]
pub struct KeyOrderLayer {
    queues: Arc<Queues>,
}

impl KeyOrderLayer {
    /// The layer; there is nothing to set.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S> Layer<S> for KeyOrderLayer {
    type Service = KeyOrder<S>;

    fn layer(&self, inner: S) -> KeyOrder<S> {
        KeyOrder::new(inner, Arc::clone(&self.queues))
    }
}
