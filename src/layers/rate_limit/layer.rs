use std::{sync::Arc, time::Duration};

use tower::Layer;

use super::{RateLimit, bucket::Bucket};

/// Lets so many records a time pass, see [`layers::rate_limit`](super).
///
/// A clone of the layer shares the limit.
#[derive(Debug, Clone)]
#[must_use = "a layer does nothing until it is put around a service"]
pub struct RateLimitLayer {
    records: u32,
    per: Duration,
    bucket: Arc<Bucket>,
}

impl RateLimitLayer {
    /// So many records for each such span of time; as many may come at once. 0 counts as 1.
    pub fn new(records: u32, per: Duration) -> Self {
        Self {
            records,
            per,
            bucket: Arc::new(Bucket::new(records, per, records)),
        }
    }

    /// How many may come at once, after a while without: as many as for one span of time by default, 1
    /// spaces them evenly. 0 counts as 1.
    ///
    /// To be set before the layer is cloned or used: it starts the limit anew.
    pub fn burst(mut self, records: u32) -> Self {
        self.bucket = Arc::new(Bucket::new(self.records, self.per, records));
        self
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimit<S>;

    fn layer(&self, inner: S) -> RateLimit<S> {
        RateLimit::new(inner, Arc::clone(&self.bucket))
    }
}
