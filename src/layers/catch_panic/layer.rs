use tower::Layer;

use super::CatchPanic;

/// Turns panics into errors, see [`layers::catch_panic`](super).
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
#[must_use = "a layer does nothing until it is put around a service"]
pub struct CatchPanicLayer;

impl CatchPanicLayer {
    /// The layer; there is nothing to set.
    pub fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for CatchPanicLayer {
    type Service = CatchPanic<S>;

    fn layer(&self, inner: S) -> CatchPanic<S> {
        CatchPanic::new(inner)
    }
}
