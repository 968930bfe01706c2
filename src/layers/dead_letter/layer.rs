use std::{error::Error, fmt, sync::Arc, time::Duration};

use tower::Layer;

use super::{DeadLetterBudget, DeadLetterService};
use crate::{
    backoff::Backoff,
    client::topic_name::DEAD_LETTERS,
    error::{Classifier, Classify},
    record::{ProducerRecord, RecordView, Side},
};

const MAX_HOPS: u32 = 10;
/// How long a consumed record's dead letter is tried, before the consumer has to stop for it.
const WRITING: Duration = Duration::from_secs(300);

/// Moves records that can't be handled to another topic, see [`layers::dead_letter`](super).
///
/// | setting | default |
/// |---|---|
/// | [`topic`](Self::topic), [`suffix`](Self::suffix), [`topic_with`](Self::topic_with) | the record's topic and `.dlq` |
/// | [`classify`](Self::classify) | [`Classifier::new`] |
/// | [`group`](Self::group) | not told |
/// | [`enrich`](Self::enrich) | nothing is added |
/// | [`write_backoff`](Self::write_backoff) | consuming 5 minutes, publishing 4 attempts; waits from 1 to 30 s |
/// | [`max_hops`](Self::max_hops) | 10 |
/// | [`max_attempts`](Self::max_attempts) | no limit |
/// | [`without_pointers`](Self::without_pointers) | what is too large becomes a pointer |
/// | [`budget`](Self::budget) | none |
#[derive(Clone)]
#[must_use = "a layer does nothing until it is put around a service"]
pub struct DeadLetter<P> {
    pub(super) publisher: P,
    pub(super) settings: Settings,
    pub(super) budget: Option<DeadLetterBudget>,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) topic: Topic,
    pub(super) classify: Arc<dyn Classify>,
    pub(super) group: Option<Arc<str>>,
    pub(super) enrich: Option<Arc<Enrich>>,
    write_backoff: Option<Backoff>,
    pub(super) max_hops: u32,
    pub(super) max_attempts: Option<u32>,
    pub(super) pointers: bool,
}

type Enrich = dyn Fn(&mut ProducerRecord, &(dyn Error + 'static)) + Send + Sync;

#[derive(Clone)]
pub(super) enum Topic {
    Named(Arc<str>),
    Suffixed(Arc<str>),
    With(Arc<dyn Fn(&RecordView<'_>, &(dyn Error + 'static)) -> Arc<str> + Send + Sync>),
}

impl Settings {
    /// The dead-letter topic of a record.
    pub(super) fn topic(&self, record: &RecordView<'_>, error: &(dyn Error + 'static)) -> Arc<str> {
        match &self.topic {
            Topic::Named(topic) => Arc::clone(topic),
            Topic::Suffixed(suffix) => format!("{}{suffix}", record.topic).into(),
            Topic::With(topic) => topic(record, error),
        }
    }

    /// How a failed write is repeated.
    pub(super) fn write_backoff(&self, side: Side) -> Backoff {
        match (&self.write_backoff, side) {
            (Some(backoff), _) => backoff.clone(),
            // Its offset can't be committed before; giving up stops the consumer.
            (None, Side::Consume) => Backoff::default().unlimited_attempts().max_elapsed(WRITING),
            (None, Side::Publish) => Backoff::default(),
        }
    }
}

impl<P> DeadLetter<P> {
    /// Writes dead letters through any stack that publishes. It is cloned for each dead letter, and
    /// not touched otherwise: a full one doesn't stop records that succeed.
    pub fn to(publisher: P) -> Self {
        Self {
            publisher,
            settings: Settings {
                topic: Topic::Suffixed(DEAD_LETTERS.into()),
                classify: Arc::new(Classifier::new()),
                group: None,
                enrich: None,
                write_backoff: None,
                max_hops: MAX_HOPS,
                max_attempts: None,
                pointers: true,
            },
            budget: None,
        }
    }

    /// Writes all dead letters to one topic. That it is another than the record's own is checked with
    /// each of them: else the error says so, and is [`Fatal`](crate::ErrorClass::Fatal).
    pub fn topic(mut self, topic: impl Into<Arc<str>>) -> Self {
        self.settings.topic = Topic::Named(topic.into());
        self
    }

    /// Writes to the record's topic with a suffix: `.dlq` without this.
    pub fn suffix(mut self, suffix: impl Into<Arc<str>>) -> Self {
        self.settings.topic = Topic::Suffixed(suffix.into());
        self
    }

    /// Writes to the topic that a function makes of the record and its error.
    pub fn topic_with<T: Into<Arc<str>>>(
        mut self,
        topic: impl Fn(&RecordView<'_>, &(dyn Error + 'static)) -> T + Send + Sync + 'static,
    ) -> Self {
        let topic = move |record: &RecordView<'_>, error: &(dyn Error + 'static)| {
            topic(record, error).into()
        };
        self.settings.topic = Topic::With(Arc::new(topic));
        self
    }

    /// What decides about the class of an error. What a retry layer inside has found out stands,
    /// unless a rule says otherwise.
    pub fn classify(mut self, classify: impl Classify) -> Self {
        self.settings.classify = Arc::new(classify);
        self
    }

    /// Names the consumer group in the dead letters.
    pub fn group(mut self, group: impl Into<Arc<str>>) -> Self {
        self.settings.group = Some(group.into());
        self
    }

    /// Lets a function change the dead letter before it is written: to add headers of one's own, or to
    /// remove confidential ones.
    pub fn enrich(
        mut self,
        enrich: impl Fn(&mut ProducerRecord, &(dyn Error + 'static)) + Send + Sync + 'static,
    ) -> Self {
        self.settings.enrich = Some(Arc::new(enrich));
        self
    }

    /// How a write that failed is repeated, where its error is retriable or unavailable; others, a topic
    /// that doesn't exist among them, are not. Dead letters may be written twice by that.
    pub fn write_backoff(mut self, backoff: Backoff) -> Self {
        self.settings.write_backoff = Some(backoff);
        self
    }

    /// How often a record may die. More is taken for a circle of topics: the error says so, and is
    /// [`Fatal`](crate::ErrorClass::Fatal).
    pub fn max_hops(mut self, hops: u32) -> Self {
        self.settings.max_hops = hops;
        self
    }

    /// Consuming, a record that comes whose attempt is a higher one than this is not handed on:
    /// it becomes a dead letter at once. Attempts are counted across restarts, so this ends what kills the
    /// process, which no handler and no retry layer can report.
    ///
    /// It should be higher than what a retry layer inside allows. An attempt that a restart cut off counts
    /// as well, whoever is to blame for it.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.settings.max_attempts = Some(attempts);
        self
    }

    /// Makes an error of a dead letter that is too large, in place of a pointer.
    pub fn without_pointers(mut self) -> Self {
        self.settings.pointers = false;
        self
    }

    /// Ends the dying when too many records die at once.
    pub fn budget(mut self, budget: DeadLetterBudget) -> Self {
        self.budget = Some(budget);
        self
    }
}

impl<P: Clone, S> Layer<S> for DeadLetter<P> {
    type Service = DeadLetterService<P, S>;

    fn layer(&self, inner: S) -> DeadLetterService<P, S> {
        DeadLetterService::new(inner, self.clone())
    }
}

impl<P> fmt::Debug for DeadLetter<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("group", &self.settings.group)
            .field("max_hops", &self.settings.max_hops)
            .field("max_attempts", &self.settings.max_attempts)
            .field("pointers", &self.settings.pointers)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}
