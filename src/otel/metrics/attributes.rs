use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use opentelemetry::KeyValue;

use super::super::semconv::SemConv;
use crate::{
    layers::metrics::{Disposition, Field, Observation},
    record::Side,
};

/// How many sets are kept; others are made each time.
const KEPT: usize = 10_000;

/// Sets of attributes, made once for each destination and what may become of a record there.
pub(super) struct Attributes {
    names: SemConv,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    by_destination: HashMap<Box<str>, Vec<Entry>, foldhash::fast::RandomState>,
    count: usize,
}

struct Entry {
    side: Side,
    group: Option<Box<str>>,
    disposition: Disposition,
    error_type: Option<Box<str>>,
    set: Arc<Set>,
}

/// The attributes of an observation.
pub(super) struct Set {
    /// Of retries, dead letters and deferrals.
    pub(super) common: Box<[KeyValue]>,
    /// Of durations and numbers of messages.
    pub(super) all: Box<[KeyValue]>,
    #[cfg(feature = "otel-bound-instruments")]
    pub(super) bound: super::bound::Bound,
}

impl Attributes {
    pub(super) fn new(names: SemConv) -> Self {
        Self {
            names,
            known: RwLock::default(),
        }
    }

    pub(super) fn of(&self, call: &Observation<'_>) -> Arc<Set> {
        if let Some(set) = self.find(call) {
            return set;
        }
        let fields = call.fields(self.names);
        let set = Arc::new(Set {
            common: owned(fields.common()),
            all: owned(fields.all()),
            #[cfg(feature = "otel-bound-instruments")]
            bound: super::bound::Bound::default(),
        });
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.count < KEPT {
            known.count += 1;
            let destination = known.by_destination.entry(call.destination.into());
            destination.or_default().push(Entry {
                side: call.side,
                group: call.group.map(Into::into),
                disposition: call.disposition,
                error_type: call.error_type.map(Into::into),
                set: Arc::clone(&set),
            });
        }
        set
    }

    fn find(&self, call: &Observation<'_>) -> Option<Arc<Set>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut entries = known.by_destination.get(call.destination)?.iter();
        let found = entries.find(|entry| {
            entry.disposition == call.disposition
                && entry.side == call.side
                && entry.error_type.as_deref() == call.error_type
                && entry.group.as_deref() == call.group
        })?;
        Some(Arc::clone(&found.set))
    }
}

fn owned(fields: &[Field<'_>]) -> Box<[KeyValue]> {
    let fields = fields.iter();
    fields
        .map(|(name, value)| KeyValue::new(*name, (*value).to_owned()))
        .collect()
}
