use std::{error::Error, fmt, sync::Arc};

use tower::Layer;

use super::{Fallback, ToService, ToTopic};

/// Gives records that failed to something else, see [`layers::fallback`](super).
#[derive(Clone)]
#[must_use = "a layer does nothing until it is put around a service"]
pub struct FallbackLayer<F> {
    rescue: F,
    when: Option<Arc<When>>,
}

pub(super) type When = dyn Fn(&(dyn Error + 'static)) -> bool + Send + Sync;

impl<F> FallbackLayer<F> {
    /// Falls back to an async function of the record and its error.
    ///
    /// It answers `Ok` with what converts into a [`Delivery`](crate::Delivery) or an
    /// [`Outcome`](crate::Outcome), or fails, with the error that it was given for instance.
    pub fn new(rescue: F) -> Self {
        Self { rescue, when: None }
    }

    /// Falls back only for errors of which this is true; the others pass.
    ///
    /// [`find_error`](crate::find_error) looks for a type among the causes, a
    /// [`Classifier`](crate::Classifier) gives the class.
    pub fn when(
        mut self,
        when: impl Fn(&(dyn Error + 'static)) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.when = Some(Arc::new(when));
        self
    }
}

impl<S> FallbackLayer<ToService<S>> {
    /// Falls back to another service for the same kind of records.
    ///
    /// It is cloned for each record that falls back. When it fails as well, its error tells the first
    /// one too.
    pub fn to_service(service: S) -> Self {
        Self::new(ToService::new(service))
    }
}

impl<P> FallbackLayer<ToTopic<P>> {
    /// Falls back to another topic: the record goes there with its key, payload and headers, through
    /// any stack that publishes.
    ///
    /// Publishing answers with the [`Delivery`](crate::Delivery) there, consuming with
    /// [`Outcome::Moved`](crate::Outcome::Moved). Nothing is added that says why; that is what a
    /// dead-letter layer is for.
    pub fn to_topic(publisher: P, topic: impl Into<Arc<str>>) -> Self {
        Self::new(ToTopic::new(publisher, topic.into()))
    }
}

impl<F: Clone, S> Layer<S> for FallbackLayer<F> {
    type Service = Fallback<F, S>;

    fn layer(&self, inner: S) -> Fallback<F, S> {
        Fallback::new(inner, self.rescue.clone(), self.when.clone())
    }
}

impl<F> fmt::Debug for FallbackLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackLayer").finish_non_exhaustive()
    }
}
