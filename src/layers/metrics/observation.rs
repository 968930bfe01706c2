use std::{sync::Arc, time::Duration};

use crate::{
    error::ErrorClass,
    record::Side,
    telemetry::semconv::{SYSTEM_KAFKA, SemConv, attribute, metric, operation, operation_type},
};

/// Is told of each call that ended.
///
/// A closure of a name, a value and [`Field`]s is one, see [`layers::metrics`](super), and so is an `Arc`
/// of one. `()` is one that does nothing.
///
/// It is called on the task that publishes, or handles the record, which waits for it.
pub trait Metrics: Send + Sync + 'static {
    /// A call ended.
    fn observe(&self, call: &Observation<'_>);

    /// Whether a call that begins is to be observed, which costs two looks at the clock. Always, unless
    /// written.
    fn is_enabled(&self) -> bool {
        true
    }
}

/// A name and its value.
pub type Field<'a> = (&'static str, &'a str);

impl<F> Metrics for F
where
    F: Fn(&'static str, f64, &[Field<'_>]) + Send + Sync + 'static,
{
    fn observe(&self, call: &Observation<'_>) {
        call.measure(self);
    }
}

impl<M: Metrics + ?Sized> Metrics for Arc<M> {
    fn observe(&self, call: &Observation<'_>) {
        (**self).observe(call);
    }

    fn is_enabled(&self) -> bool {
        (**self).is_enabled()
    }
}

impl Metrics for () {
    fn observe(&self, _: &Observation<'_>) {}

    fn is_enabled(&self) -> bool {
        false
    }
}

/// A call that ended.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Observation<'a> {
    /// Whether a record was published or handled.
    pub side: Side,
    /// The topic, the route, or `_OTHER`: one of few.
    pub destination: &'a str,
    /// The partition; publishing, `None` unless the record was delivered or the caller chose it.
    pub partition: Option<i32>,
    /// The consumer group that the layer was told.
    pub group: Option<&'a str>,
    /// From the call to its answer.
    pub duration: Duration,
    /// What became of the record.
    pub disposition: Disposition,
    /// The class of the failure, if it was one.
    pub error_class: Option<ErrorClass>,
    /// What kind of failure it was: one of few.
    pub error_type: Option<&'a str>,
    /// Publishing, how many attempts were made; consuming, which one this was.
    pub attempts: u32,
    /// How many attempts were repeated: publishing, those of this call; consuming, 1 where the record is
    /// to come back as the next attempt.
    pub retries: u32,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Disposition {
    /// Published.
    Delivered,
    /// Handled.
    Acked,
    /// Left alone on purpose.
    Skipped,
    /// In another topic: mostly a dead letter. Publishing, that is an error as well.
    Moved,
    /// To be handled again, as the next attempt.
    Retried,
    /// To be handled again, as the same attempt.
    Deferred,
    /// To be dead-lettered, which no layer inside has done.
    DeadLetter,
    /// Its service asked to stop.
    Stopped,
    /// An error.
    Failed,
}

impl Disposition {
    /// In small letters, for labels: `delivered`, `acked`, `skipped`, `moved`, `retried`, `deferred`,
    /// `dead_letter`, `stopped`, `failed`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Acked => "acked",
            Self::Skipped => "skipped",
            Self::Moved => "moved",
            Self::Retried => "retried",
            Self::Deferred => "deferred",
            Self::DeadLetter => "dead_letter",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// No observation has more fields.
const MOST_FIELDS: usize = 7;

/// The fields of an observation: the first `common` ones belong to all of its measurements, the rest to
/// durations and numbers of messages only.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    fields: [Field<'a>; MOST_FIELDS],
    common: usize,
    all: usize,
}

impl<'a> Fields<'a> {
    fn push(&mut self, name: &'static str, value: &'a str) {
        self.fields[self.all] = (name, value);
        self.all += 1;
    }

    pub(crate) fn common(&self) -> &[Field<'a>] {
        &self.fields[..self.common]
    }

    pub(crate) fn all(&self) -> &[Field<'a>] {
        &self.fields[..self.all]
    }
}

impl<'a> Observation<'a> {
    /// Calls `tell` with the name, the value and the fields of each metric that there is something to
    /// add to, as [`layers::metrics`](super) lists them.
    pub fn measure(&self, tell: impl Fn(&'static str, f64, &[Field<'_>])) {
        let fields = self.fields(SemConv::default());
        let (duration, messages) = match self.side {
            Side::Publish => (metric::OPERATION_DURATION, metric::SENT_MESSAGES),
            Side::Consume => (metric::PROCESS_DURATION, metric::CONSUMED_MESSAGES),
        };
        tell(duration, self.duration.as_secs_f64(), fields.all());
        tell(messages, 1.0, fields.all());
        if self.retries > 0 {
            tell(metric::RETRIES, f64::from(self.retries), fields.common());
        }
        match self.disposition {
            Disposition::Moved => tell(metric::DEAD_LETTERS, 1.0, fields.common()),
            Disposition::Deferred => tell(metric::DEFERRALS, 1.0, fields.common()),
            _ => {}
        }
    }

    pub(crate) fn fields(&self, names: SemConv) -> Fields<'a> {
        let mut fields = Fields {
            fields: [("", ""); MOST_FIELDS],
            common: 0,
            all: 0,
        };
        fields.push(names.system(), SYSTEM_KAFKA);
        let (name, kind) = match self.side {
            Side::Publish => (operation::SEND, operation_type::SEND),
            Side::Consume => (operation::PROCESS, operation_type::PROCESS),
        };
        fields.push(attribute::OPERATION_NAME, name);
        fields.push(attribute::OPERATION_TYPE, kind);
        fields.push(attribute::DESTINATION_NAME, self.destination);
        if let Some(group) = self.group {
            fields.push(attribute::CONSUMER_GROUP_NAME, group);
        }
        fields.common = fields.all;
        if self.side == Side::Consume {
            fields.push(attribute::OUTCOME, self.disposition.as_str());
        }
        if let Some(kind) = self.error_type {
            fields.push(attribute::ERROR_TYPE, kind);
        }
        fields
    }
}
