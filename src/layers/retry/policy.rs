//! What a retry layer decides about a failure.

use std::{fmt::DebugStruct, sync::Arc, time::Duration};

use tower::retry::budget::Budget;

use crate::{
    backoff::Backoff,
    error::{Classify, ErrorClass, GaveUp},
    record::Side,
};

#[derive(Clone)]
pub(super) struct Policy {
    pub(super) backoff: Backoff,
    pub(super) classify: Arc<dyn Classify>,
    pub(super) budget: Option<Arc<dyn Budget + Send + Sync>>,
    pub(super) accept_duplicates: bool,
    pub(super) in_place: bool,
}

/// A failure, and what it has to be judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) side: Side,
    pub(super) class: ErrorClass,
    /// When the error itself says to come back.
    pub(super) hint: Option<Duration>,
    /// Attempts made, this one included.
    pub(super) attempts: u32,
    /// How often it was unavailable in a row, this time included.
    pub(super) waits: u32,
    /// Since the first failure.
    pub(super) elapsed: Duration,
    pub(super) repeatable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// The next attempt.
    Retry(Duration),
    /// The same attempt.
    Defer(Duration),
    GiveUp(GaveUp),
}

impl Policy {
    pub(super) fn decide(&self, case: Case) -> Decision {
        match (case.class, case.side) {
            (ErrorClass::NonRetriable | ErrorClass::Fatal, _) => {
                return Decision::GiveUp(GaveUp::NotRetriable);
            }
            // Nothing is wrong with the record, and its offset waits with it.
            (ErrorClass::Unavailable, Side::Consume) => {
                return Decision::Defer(self.wait(case.waits, case.hint));
            }
            // A publisher's caller is waiting: what doesn't become available has to end as well.
            (ErrorClass::Unavailable | ErrorClass::Retriable, _) => {}
        }
        let after = self.wait(case.attempts, case.hint);
        if !case.repeatable && !self.accept_duplicates {
            return Decision::GiveUp(GaveUp::PossiblyPersisted);
        }
        if !self.backoff.allows_after(case.attempts) {
            return Decision::GiveUp(GaveUp::NoAttemptsLeft);
        }
        if !self.backoff.allows_at(case.elapsed.saturating_add(after)) {
            return Decision::GiveUp(GaveUp::NoTimeLeft);
        }
        match (self.withdraw(), case.side) {
            (true, _) => Decision::Retry(after),
            (false, Side::Consume) => Decision::Defer(after),
            (false, Side::Publish) => Decision::GiveUp(GaveUp::BudgetIsEmpty),
        }
    }

    fn wait(&self, failures: u32, hint: Option<Duration>) -> Duration {
        hint.unwrap_or_else(|| self.backoff.delay(failures))
    }

    fn withdraw(&self) -> bool {
        self.budget.as_ref().is_none_or(|budget| budget.withdraw())
    }

    pub(super) fn deposit(&self) {
        if let Some(budget) = &self.budget {
            budget.deposit();
        }
    }

    pub(super) fn show<'a, 'b, 'c>(
        &self,
        f: &'a mut DebugStruct<'b, 'c>,
    ) -> &'a mut DebugStruct<'b, 'c> {
        f.field("backoff", &self.backoff)
            .field("budget", &self.budget.is_some())
            .field("accept_duplicates", &self.accept_duplicates)
            .field("in_place", &self.in_place)
    }
}

#[cfg(test)]
mod tests {
    use tower::retry::budget::TpsBudget;

    use super::*;
    use crate::error::Classifier;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy(backoff: Backoff) -> Policy {
        Policy {
            backoff,
            classify: Arc::new(Classifier::new()),
            budget: None,
            accept_duplicates: false,
            in_place: false,
        }
    }

    const CASE: Case = Case {
        side: Side::Consume,
        class: ErrorClass::Retriable,
        hint: None,
        attempts: 1,
        waits: 0,
        elapsed: Duration::ZERO,
        repeatable: true,
    };

    const PUBLISHING: Case = Case {
        side: Side::Publish,
        ..CASE
    };

    #[test]
    fn waits_double_until_no_attempt_is_left() {
        let policy = policy(Backoff::default());
        let decisions = [1, 2, 3, 4].map(|attempts| policy.decide(Case { attempts, ..CASE }));
        let [first, second, third, fourth] = decisions;
        assert_eq!(first, Decision::Retry(SECOND));
        assert_eq!(second, Decision::Retry(2 * SECOND));
        assert_eq!(third, Decision::Retry(4 * SECOND));
        assert_eq!(fourth, Decision::GiveUp(GaveUp::NoAttemptsLeft));
    }

    #[test]
    fn a_retry_that_would_begin_too_late_is_not_made() {
        let backoff = Backoff::constant(SECOND).unlimited_attempts();
        let policy = policy(backoff.max_elapsed(10 * SECOND));
        let at = |seconds| {
            policy.decide(Case {
                elapsed: seconds * SECOND,
                ..CASE
            })
        };
        assert_eq!(at(9), Decision::Retry(SECOND));
        assert_eq!(at(10), Decision::GiveUp(GaveUp::NoTimeLeft));
        let hint = Case {
            hint: Some(11 * SECOND),
            ..CASE
        };
        assert_eq!(policy.decide(hint), Decision::GiveUp(GaveUp::NoTimeLeft));
    }

    #[test]
    fn a_hint_goes_before_the_backoff() {
        let policy = policy(Backoff::default());
        let hint = Some(90 * SECOND);
        assert_eq!(
            policy.decide(Case { hint, ..CASE }),
            Decision::Retry(90 * SECOND)
        );
        let case = Case {
            hint,
            class: ErrorClass::Unavailable,
            ..CASE
        };
        assert_eq!(policy.decide(case), Decision::Defer(90 * SECOND));
    }

    #[test]
    fn what_can_never_succeed_is_given_up_at_once() {
        let policy = policy(Backoff::default());
        for class in [ErrorClass::NonRetriable, ErrorClass::Fatal] {
            for case in [CASE, PUBLISHING] {
                let decision = policy.decide(Case { class, ..case });
                assert_eq!(decision, Decision::GiveUp(GaveUp::NotRetriable));
            }
        }
    }

    #[test]
    fn consuming_waits_for_ever_for_what_is_unavailable_and_publishing_does_not() {
        let policy = policy(Backoff::default().max_elapsed(SECOND));
        let unavailable = |case| Case {
            class: ErrorClass::Unavailable,
            ..case
        };
        let case = Case {
            waits: 3,
            elapsed: 1000 * SECOND,
            ..unavailable(CASE)
        };
        assert_eq!(policy.decide(case), Decision::Defer(4 * SECOND));
        let policy = Policy {
            backoff: Backoff::default(),
            ..policy
        };
        let case = unavailable(PUBLISHING);
        assert_eq!(policy.decide(case), Decision::Retry(SECOND));
        let decision = policy.decide(Case {
            attempts: 4,
            ..case
        });
        assert_eq!(decision, Decision::GiveUp(GaveUp::NoAttemptsLeft));
    }

    #[test]
    fn what_may_be_written_is_repeated_only_on_request() {
        let mut policy = policy(Backoff::default());
        let case = Case {
            repeatable: false,
            ..PUBLISHING
        };
        let decision = policy.decide(case);
        assert_eq!(decision, Decision::GiveUp(GaveUp::PossiblyPersisted));
        policy.accept_duplicates = true;
        assert_eq!(policy.decide(case), Decision::Retry(SECOND));
    }

    #[test]
    fn an_empty_budget_defers_consuming_and_fails_publishing() {
        let mut policy = policy(Backoff::default());
        policy.budget = Some(Arc::new(TpsBudget::new(10 * SECOND, 0, 1.0)));
        assert_eq!(policy.decide(CASE), Decision::Defer(SECOND));
        let decision = policy.decide(PUBLISHING);
        assert_eq!(decision, Decision::GiveUp(GaveUp::BudgetIsEmpty));
        policy.deposit();
        assert_eq!(policy.decide(CASE), Decision::Retry(SECOND));
        assert_eq!(policy.decide(CASE), Decision::Defer(SECOND));
    }
}
