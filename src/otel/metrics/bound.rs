use std::sync::OnceLock;

use opentelemetry::{
    KeyValue,
    metrics::{BoundCounter, BoundHistogram, Counter, Histogram},
};

/// The places in the SDK of what each observation with one set of attributes is added to.
#[derive(Default)]
pub(super) struct Bound(OnceLock<(BoundHistogram<f64>, BoundCounter<u64>)>);

impl Bound {
    /// The instruments and the attributes have to be the same each time.
    pub(super) fn add(
        &self,
        duration: &Histogram<f64>,
        messages: &Counter<u64>,
        seconds: f64,
        attributes: &[KeyValue],
    ) {
        let bind = || (duration.bind(attributes), messages.bind(attributes));
        let (duration, messages) = self.0.get_or_init(bind);
        duration.record(seconds);
        messages.add(1);
    }
}
