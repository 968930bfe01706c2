use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tower::Layer;
use tracing::error;

use super::{Metrics, MetricsService, Observation, destinations::Destinations};
use crate::error::PanicError;

/// How many destinations are named, unless the layer is told.
const MAX_DESTINATIONS: usize = 100;

/// Tells metrics of each call that ended, see [`layers::metrics`](super).
///
/// The services that are made with it, and with its clones, share the metrics and the number of
/// destinations. Its settings come first: a clone that was made before doesn't see them.
#[must_use = "a layer does nothing until it is put around a service"]
pub struct MetricsLayer<M> {
    shared: Arc<Shared<M>>,
    max_destinations: usize,
}

/// What all services of a layer share.
pub(super) struct Shared<M> {
    metrics: Arc<M>,
    pub(super) group: Option<Arc<str>>,
    pub(super) destinations: Destinations,
    panicked: AtomicBool,
}

impl<M: Metrics> MetricsLayer<M> {
    /// Tells these metrics. An `Arc` of some can be used as well, to look at them later.
    pub fn new(metrics: M) -> Self {
        Self::with(Arc::new(metrics), None, MAX_DESTINATIONS)
    }

    fn with(metrics: Arc<M>, group: Option<Arc<str>>, max_destinations: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                metrics,
                group,
                destinations: Destinations::new(max_destinations),
                panicked: AtomicBool::new(false),
            }),
            max_destinations,
        }
    }

    /// Labels what is consumed by the consumer group; without, there is no such label.
    pub fn group(self, group: impl Into<Arc<str>>) -> Self {
        let metrics = Arc::clone(&self.shared.metrics);
        Self::with(metrics, Some(group.into()), self.max_destinations)
    }

    /// How many destinations have a label of their own: 100 without, and 10 000 at the most. Those that
    /// come later are labelled `_OTHER`.
    pub fn max_destinations(self, most: usize) -> Self {
        let metrics = Arc::clone(&self.shared.metrics);
        Self::with(metrics, self.shared.group.clone(), most)
    }
}

impl<M: Metrics> From<M> for MetricsLayer<M> {
    fn from(metrics: M) -> Self {
        Self::new(metrics)
    }
}

impl<M: Metrics> Shared<M> {
    pub(super) fn is_enabled(&self) -> bool {
        self.guard(|| self.metrics.is_enabled()).unwrap_or(false)
    }

    pub(super) fn tell(&self, call: &Observation<'_>) {
        self.guard(|| self.metrics.observe(call));
    }

    /// Asks the metrics; of their panics, the first is logged.
    fn guard<T>(&self, ask: impl FnOnce() -> T) -> Option<T> {
        let panic = match catch_unwind(AssertUnwindSafe(ask)) {
            Ok(answer) => return Some(answer),
            Err(panic) => PanicError::new(panic),
        };
        if !self.panicked.swap(true, Relaxed) {
            error!(
                message = panic.message(),
                "metrics panicked; further panics of theirs are not logged"
            );
        }
        None
    }
}

impl<M: Metrics, S> Layer<S> for MetricsLayer<M> {
    type Service = MetricsService<M, S>;

    fn layer(&self, inner: S) -> MetricsService<M, S> {
        MetricsService::new(inner, Arc::clone(&self.shared))
    }
}

impl<M> Clone for MetricsLayer<M> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            max_destinations: self.max_destinations,
        }
    }
}

impl<M> fmt::Debug for MetricsLayer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsLayer")
            .field("group", &self.shared.group)
            .field("max_destinations", &self.max_destinations)
            .finish_non_exhaustive()
    }
}
