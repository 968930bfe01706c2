use opentelemetry::metrics::{Counter, Histogram, Meter};

use super::{super::semconv::metric, attributes::Set, unit};
use crate::{
    layers::metrics::{Disposition, Observation},
    record::Side,
};

/// What the layer's observations go to.
pub(super) struct Instruments {
    operation_duration: Histogram<f64>,
    process_duration: Histogram<f64>,
    sent: Counter<u64>,
    consumed: Counter<u64>,
    retries: Counter<u64>,
    dead_letters: Counter<u64>,
    deferrals: Counter<u64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        let duration = |name, description| {
            let histogram = meter.f64_histogram(name).with_unit(unit::SECONDS);
            histogram
                .with_description(description)
                .with_boundaries(metric::DURATION_BUCKETS.to_vec())
                .build()
        };
        let counter = |name, unit, description| {
            let counter = meter.u64_counter(name).with_unit(unit);
            counter.with_description(description).build()
        };
        Self {
            operation_duration: duration(
                metric::OPERATION_DURATION,
                "Duration of publishing a record, its retries included.",
            ),
            process_duration: duration(
                metric::PROCESS_DURATION,
                "Duration of handling a record, each attempt by itself.",
            ),
            sent: counter(
                metric::SENT_MESSAGES,
                unit::MESSAGES,
                "Records that were to be published.",
            ),
            consumed: counter(
                metric::CONSUMED_MESSAGES,
                unit::MESSAGES,
                "Records that were handed to the service, each attempt by itself.",
            ),
            retries: counter(
                metric::RETRIES,
                unit::RETRIES,
                "Attempts that were, or are to be, repeated.",
            ),
            dead_letters: counter(
                metric::DEAD_LETTERS,
                unit::MESSAGES,
                "Records that went to another topic.",
            ),
            deferrals: counter(
                metric::DEFERRALS,
                unit::MESSAGES,
                "Records that were put off without counting an attempt.",
            ),
        }
    }

    pub(super) fn add(&self, call: &Observation<'_>, set: &Set) {
        let (duration, messages) = match call.side {
            Side::Publish => (&self.operation_duration, &self.sent),
            Side::Consume => (&self.process_duration, &self.consumed),
        };
        let seconds = call.duration.as_secs_f64();
        #[cfg(feature = "otel-bound-instruments")]
        set.bound.add(duration, messages, seconds, &set.all);
        #[cfg(not(feature = "otel-bound-instruments"))]
        {
            duration.record(seconds, &set.all);
            messages.add(1, &set.all);
        }
        if call.retries > 0 {
            self.retries.add(call.retries.into(), &set.common);
        }
        match call.disposition {
            Disposition::Moved => self.dead_letters.add(1, &set.common),
            Disposition::Deferred => self.deferrals.add(1, &set.common),
            _ => {}
        }
    }
}
