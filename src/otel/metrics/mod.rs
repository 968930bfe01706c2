//! Metrics by OpenTelemetry's API.

mod attributes;
#[cfg(feature = "otel-bound-instruments")]
mod bound;
mod instruments;
mod observed;
mod registry;
mod unit;

use std::{fmt, sync::Arc};

use opentelemetry::{InstrumentationScope, global, metrics::Meter};

use self::{attributes::Attributes, instruments::Instruments, registry::Registry};
use super::semconv::SemConv;
use crate::{
    consume::ConsumerHandle,
    layers::{
        circuit_breaker::CircuitMonitor,
        metrics::{Metrics, Observation},
    },
    publish::Publisher,
};

/// Gives what a [`MetricsLayer`](crate::layers::MetricsLayer) observes, and the numbers of consumers,
/// publishers and circuit breakers, to OpenTelemetry.
///
/// Names and units are those of [`semconv::metric`](super::semconv::metric). Clones share everything. One
/// for each process is enough.
///
/// What is observed is held weakly: a consumer, publisher or circuit that is gone is no longer reported,
/// and none is kept alive. Reporting goes on without the `OtelMetrics`, for as long as the meter's
/// provider lives.
#[derive(Clone)]
pub struct OtelMetrics(Arc<Inner>);

struct Inner {
    instruments: Instruments,
    attributes: Attributes,
    registry: Arc<Registry>,
}

impl OtelMetrics {
    /// By the global meter provider, as it is set by now.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// To choose the meter, or the version of the conventions.
    pub fn builder() -> OtelMetricsBuilder {
        OtelMetricsBuilder::default()
    }

    /// Reports what a consumer does, labelled by its group: lag, records in flight and waiting of each
    /// partition, partitions assigned and paused, rebalances, commits, stale completions, bytes held, and
    /// how long ago it polled.
    ///
    /// It may begin later. Gauges are reported while it runs; what it has counted, for as long as it runs
    /// or a [`ConsumerHandle`] of it is kept. Consumers of the same group are added up. A topic that
    /// isn't subscribed to by its name is reported as `_OTHER`, all of its partitions together.
    pub fn observe_consumer(&self, consumer: &ConsumerHandle, group: impl Into<Arc<str>>) {
        self.0.registry.add_consumer(group.into(), consumer);
    }

    /// Reports how many records of a publisher are on their way, labelled by a name as `messaging.client.id`,
    /// for as long as the publisher lives.
    pub fn observe_publisher(&self, publisher: &Publisher, name: impl Into<Arc<str>>) {
        self.0.registry.add_publisher(name.into(), publisher);
    }

    /// Reports the state of a circuit breaker, labelled by a name, for as long as there is a layer, a
    /// service or another monitor of it.
    pub fn observe_circuit(&self, name: impl Into<Arc<str>>, circuit: &CircuitMonitor) {
        self.0.registry.add_circuit(name.into(), circuit);
    }
}

impl Default for OtelMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics for OtelMetrics {
    fn observe(&self, call: &Observation<'_>) {
        let set = self.0.attributes.of(call);
        self.0.instruments.add(call, &set);
    }
}

impl fmt::Debug for OtelMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtelMetrics").finish_non_exhaustive()
    }
}

/// Makes [`OtelMetrics`].
#[derive(Debug, Clone, Default)]
#[must_use = "nothing is measured until it is built"]
pub struct OtelMetricsBuilder {
    meter: Option<Meter>,
    semconv: SemConv,
}

impl OtelMetricsBuilder {
    /// Uses this meter in place of one of the global provider.
    pub fn meter(mut self, meter: Meter) -> Self {
        self.meter = Some(meter);
        self
    }

    /// Names by this version of the conventions; [`SemConv::V1_44`] without.
    pub fn semconv(mut self, semconv: SemConv) -> Self {
        self.semconv = semconv;
        self
    }

    /// Makes the instruments.
    #[must_use]
    pub fn build(self) -> OtelMetrics {
        let Self { meter, semconv } = self;
        let meter = meter.unwrap_or_else(|| {
            let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
                .with_version(env!("CARGO_PKG_VERSION"))
                .with_schema_url(semconv.schema_url());
            global::meter_with_scope(scope.build())
        });
        let registry = Arc::new(Registry::default());
        observed::register(&meter, semconv, &registry);
        OtelMetrics(Arc::new(Inner {
            instruments: Instruments::new(&meter),
            attributes: Attributes::new(semconv),
            registry,
        }))
    }
}
