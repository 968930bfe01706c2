use std::{fmt, sync::Arc};

use tower::{Layer, retry::budget::Budget};

use super::{Retry, policy::Policy};
use crate::{
    backoff::Backoff,
    error::{Classifier, Classify},
};

/// Gives failed records another attempt, see [`layers::retry`](super).
///
/// | setting | default |
/// |---|---|
/// | [`Backoff`] | 4 attempts; waits of 1, 2 and 4 s |
/// | [`classify`](Self::classify) | [`Classifier::new`] |
/// | [`budget`](Self::budget) | none |
/// | [`accept_duplicates`](Self::accept_duplicates) | no |
/// | [`in_place`](Self::in_place) | publishing only |
#[derive(Clone)]
#[must_use = "a layer does nothing until it is put around a service"]
pub struct RetryLayer {
    pub(super) policy: Policy,
}

impl RetryLayer {
    /// Waits as a backoff says, for as often as it allows.
    pub fn new(backoff: Backoff) -> Self {
        Self {
            policy: Policy {
                backoff,
                classify: Arc::new(Classifier::new()),
                budget: None,
                accept_duplicates: false,
                in_place: false,
            },
        }
    }

    /// What decides which errors are worth another attempt, and may say when.
    ///
    /// Its [`retry_after`](Classify::retry_after) goes before the backoff's own wait, be it longer or
    /// shorter; the number of attempts and the time are limited all the same.
    pub fn classify(mut self, classify: impl Classify) -> Self {
        self.policy.classify = Arc::new(classify);
        self
    }

    /// Limits the retries of all records together to a share of what succeeds, with tower's own
    /// [`TpsBudget`](tower::retry::budget::TpsBudget) for instance.
    ///
    /// While it is empty, publishing fails with the error at hand, and consuming defers the record:
    /// it comes back later as the same attempt.
    pub fn budget(mut self, budget: impl Budget + Send + Sync + 'static) -> Self {
        self.policy.budget = Some(Arc::new(budget));
        self
    }

    /// Publishing, repeats also what Kafka may have written already. Fewer records fail, and some are
    /// written twice. Consuming, it changes nothing.
    pub fn accept_duplicates(mut self) -> Self {
        self.policy.accept_duplicates = true;
        self
    }

    /// Waits within the service on the consume side as well, for runtimes that know no
    /// [`Outcome::Retry`](crate::Outcome::Retry). The record holds its slot meanwhile.
    pub fn in_place(mut self) -> Self {
        self.policy.in_place = true;
        self
    }
}

impl Default for RetryLayer {
    fn default() -> Self {
        Self::new(Backoff::default())
    }
}

impl From<Backoff> for RetryLayer {
    fn from(backoff: Backoff) -> Self {
        Self::new(backoff)
    }
}

impl<S: Clone> Layer<S> for RetryLayer {
    type Service = Retry<S>;

    fn layer(&self, inner: S) -> Retry<S> {
        Retry::new(inner, self.policy.clone())
    }
}

impl fmt::Debug for RetryLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.policy.show(&mut f.debug_struct("RetryLayer")).finish()
    }
}
