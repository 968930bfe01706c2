use std::{fmt, sync::Arc};

use tower::Layer;

use super::{DeliveryHooks, Track};

/// Tells what becomes of published records, see [`layers::track`](super).
#[must_use = "a layer does nothing until it is put around a service"]
pub struct TrackLayer<H = ()> {
    hooks: Arc<H>,
}

impl<H: DeliveryHooks> TrackLayer<H> {
    /// Calls these hooks. An `Arc` of hooks can be used as well, to look at them later.
    pub fn new(hooks: H) -> Self {
        Self {
            hooks: Arc::new(hooks),
        }
    }
}

impl<H: DeliveryHooks, S> Layer<S> for TrackLayer<H> {
    type Service = Track<H, S>;

    fn layer(&self, inner: S) -> Track<H, S> {
        Track::new(inner, Arc::clone(&self.hooks))
    }
}

impl<H> Clone for TrackLayer<H> {
    fn clone(&self) -> Self {
        Self {
            hooks: Arc::clone(&self.hooks),
        }
    }
}

impl<H> fmt::Debug for TrackLayer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackLayer").finish_non_exhaustive()
    }
}
