//! Numbers that are looked at when they are collected.

use std::sync::Arc;

use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Meter},
};

use super::{
    super::semconv::{OTHER, SYSTEM_KAFKA, SemConv, attribute, metric},
    registry::{Partitions, Place, Registry},
    unit,
};
use crate::{consume::ConsumerStats, layers::circuit_breaker::CircuitState};

/// Makes the instruments, which look at what the registry holds.
pub(super) fn register(meter: &Meter, names: SemConv, registry: &Arc<Registry>) {
    let observed = Observed {
        meter,
        names,
        registry,
    };
    observed.partitions();
    observed.consumers();
    observed.others();
}

struct Observed<'a> {
    meter: &'a Meter,
    names: SemConv,
    registry: &'a Arc<Registry>,
}

impl Observed<'_> {
    fn partitions(&self) {
        self.each_partition(
            (
                metric::LAG,
                unit::MESSAGES,
                "Offsets that are not complete.",
            ),
            true,
            |there| there.lag,
        );
        self.each_partition(
            (
                metric::IN_FLIGHT,
                unit::MESSAGES,
                "Records that are running in the service.",
            ),
            true,
            |there| Some(there.in_flight),
        );
        self.each_partition(
            (
                metric::WAITING,
                unit::MESSAGES,
                "Records that wait for their next attempt, or for their key.",
            ),
            true,
            |there| Some(there.waiting),
        );
        self.each_partition(
            (
                metric::ASSIGNED_PARTITIONS,
                unit::PARTITIONS,
                "Partitions that are assigned.",
            ),
            false,
            |there| Some(there.assigned),
        );
        self.each_partition(
            (
                metric::PAUSED_PARTITIONS,
                unit::PARTITIONS,
                "Partitions of which nothing is dispatched.",
            ),
            false,
            |there| Some(there.paused),
        );
    }

    fn consumers(&self) {
        self.each_group(
            (
                metric::REBALANCES,
                unit::REBALANCES,
                "Assignments and revocations by the group.",
            ),
            |stats| stats.rebalances,
        );
        self.each_group(
            (
                metric::STALE_COMPLETIONS,
                unit::MESSAGES,
                "Calls that were still running when their partition was given up.",
            ),
            |stats| stats.stale_completions,
        );
        self.each_group(
            (
                metric::COMMITS,
                unit::COMMITS,
                "Offsets that Kafka confirmed as committed.",
            ),
            |stats| stats.commits,
        );
        self.each_group(
            (
                metric::COMMITS_REFUSED,
                unit::COMMITS,
                "Offsets that Kafka refused to commit, or didn't answer.",
            ),
            |stats| stats.commits_refused,
        );
        let (names, registry) = (self.names, Arc::clone(self.registry));
        self.gauge(
            (metric::BYTES_HELD, unit::BYTES, "Bytes that records take."),
            move |gauge| {
                for (group, stats) in registry.stats() {
                    if stats.members > 0 {
                        let attributes = [system(names), group_name(&group)];
                        gauge.observe(stats.bytes_held as u64, &attributes);
                    }
                }
            },
        );
        let registry = Arc::clone(self.registry);
        let poll_age = self.meter.f64_observable_gauge(metric::POLL_AGE);
        poll_age
            .with_unit(unit::SECONDS)
            .with_description("How long ago the consumer polled.")
            .with_callback(move |gauge| {
                for (group, stats) in registry.stats() {
                    if let Some(since) = stats.since_poll {
                        gauge.observe(since.as_secs_f64(), &[system(names), group_name(&group)]);
                    }
                }
            })
            .build();
    }

    fn others(&self) {
        let (names, registry) = (self.names, Arc::clone(self.registry));
        self.gauge(
            (
                metric::PUBLISHER_IN_FLIGHT,
                unit::MESSAGES,
                "Records without a delivery report.",
            ),
            move |gauge| {
                for (name, publisher) in registry.publishers() {
                    let name = KeyValue::new(attribute::CLIENT_ID, name);
                    gauge.observe(publisher.in_flight() as u64, &[system(names), name]);
                }
            },
        );
        let registry = Arc::clone(self.registry);
        self.gauge(
            (
                metric::CIRCUIT_STATE,
                "",
                "Whether the circuit is closed (0), half-open (1) or open (2).",
            ),
            move |gauge| {
                for (name, circuit) in registry.circuits() {
                    let state = match circuit.state() {
                        CircuitState::Closed => 0,
                        CircuitState::HalfOpen => 1,
                        CircuitState::Open => 2,
                    };
                    gauge.observe(state, &[circuit_name(&name)]);
                }
            },
        );
        let registry = Arc::clone(self.registry);
        self.gauge(
            (
                metric::OPEN_CIRCUITS,
                unit::CIRCUITS,
                "Circuits that are not closed.",
            ),
            move |gauge| {
                for (name, circuit) in registry.circuits() {
                    gauge.observe(circuit.open_circuits() as u64, &[circuit_name(&name)]);
                }
            },
        );
    }

    fn each_partition(
        &self,
        what: What,
        by_partition: bool,
        value: impl Fn(&Partitions) -> Option<u64> + Send + Sync + 'static,
    ) {
        let (names, registry) = (self.names, Arc::clone(self.registry));
        self.gauge(what, move |gauge| {
            for (place, there) in registry.partitions(by_partition) {
                if let Some(value) = value(&there) {
                    gauge.observe(value, &place_attributes(names, place));
                }
            }
        });
    }

    fn each_group(
        &self,
        (name, unit, description): What,
        value: impl Fn(&ConsumerStats) -> u64 + Send + Sync + 'static,
    ) {
        let (names, registry) = (self.names, Arc::clone(self.registry));
        let counter = self.meter.u64_observable_counter(name);
        counter
            .with_unit(unit)
            .with_description(description)
            .with_callback(move |counter| {
                for (group, stats) in registry.stats() {
                    counter.observe(value(&stats), &[system(names), group_name(&group)]);
                }
            })
            .build();
    }

    fn gauge(
        &self,
        (name, unit, description): What,
        observe: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static,
    ) {
        let gauge = self.meter.u64_observable_gauge(name).with_unit(unit);
        gauge
            .with_description(description)
            .with_callback(observe)
            .build();
    }
}

/// The name, the unit and the description of an instrument.
type What = (&'static str, &'static str, &'static str);

fn system(names: SemConv) -> KeyValue {
    KeyValue::new(names.system(), SYSTEM_KAFKA)
}

fn group_name(group: &Arc<str>) -> KeyValue {
    KeyValue::new(attribute::CONSUMER_GROUP_NAME, Arc::clone(group))
}

fn circuit_name(name: &Arc<str>) -> KeyValue {
    KeyValue::new(attribute::CIRCUIT_BREAKER_NAME, Arc::clone(name))
}

fn place_attributes(names: SemConv, place: Place) -> Vec<KeyValue> {
    let topic = place.topic.unwrap_or_else(|| OTHER.to_owned());
    let mut attributes = vec![
        system(names),
        group_name(&place.group),
        KeyValue::new(attribute::DESTINATION_NAME, topic),
    ];
    if let Some(partition) = place.partition {
        let partition = partition.to_string();
        attributes.push(KeyValue::new(
            attribute::DESTINATION_PARTITION_ID,
            partition,
        ));
    }
    attributes
}
