use std::sync::Arc;

/// The route that a record came by, among its [`extensions`](crate::ConsumerRecord::extensions) where
/// that isn't the topic itself: a prefix (`tenant-*`), or the fallback (`*`).
///
/// Metrics are labelled by it, and spans named by it, since the topics behind a prefix may be many.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MatchedRoute(Arc<str>);

impl MatchedRoute {
    /// A route of this name, which should be one of few.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
