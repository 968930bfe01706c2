use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// How many records may die before something else must be wrong.
///
/// When it is spent, a record that would die fails instead, with an error that is
/// [`Fatal`](crate::ErrorClass::Fatal) and says how many have died; consuming, that is an unhandled
/// failure, and [`OnUnhandled`](crate::OnUnhandled) decides. With
/// [`defer_for`](Self::defer_for), consumed records come back later instead. A record that succeeds
/// begins the count anew, and lowers the share.
///
/// The count is shared by the clones of a stack.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use kafka_tower::layers::dead_letter::DeadLetterBudget;
///
/// // Twenty in a row, or more than one in ten of the latest thousand.
/// let budget = DeadLetterBudget::new()
///     .max_consecutive(20)
///     .max_ratio(0.1, 1000)
///     .defer_for(Duration::from_secs(60));
/// # let _ = budget;
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a budget has an effect only when a layer is given it"]
pub struct DeadLetterBudget {
    max_consecutive: Option<u32>,
    max_ratio: Option<(f64, u32)>,
    defer_for: Option<Duration>,
}

impl DeadLetterBudget {
    /// A budget without limits.
    pub fn new() -> Self {
        Self {
            max_consecutive: None,
            max_ratio: None,
            defer_for: None,
        }
    }

    /// So many records may die without one between that succeeds.
    pub fn max_consecutive(mut self, records: u32) -> Self {
        self.max_consecutive = Some(records);
        self
    }

    /// Of the latest `records`, so large a share may die: 0.1 is one in ten. Older records count half,
    /// still older ones a quarter, and so on; nothing is judged before half that many were seen.
    pub fn max_ratio(mut self, ratio: f64, records: u32) -> Self {
        self.max_ratio = Some((ratio, records.max(2)));
        self
    }

    /// Once it is spent, consumed records come back after this wait
    /// ([`Outcome::Defer`](crate::Outcome::Defer)) in place of failing.
    pub fn defer_for(mut self, wait: Duration) -> Self {
        self.defer_for = Some(wait);
        self
    }

    pub(super) fn wait(&self) -> Option<Duration> {
        self.defer_for
    }
}

impl Default for DeadLetterBudget {
    fn default() -> Self {
        Self::new()
    }
}

/// What has been spent of a budget.
#[derive(Debug)]
pub(super) struct Purse {
    pub(super) budget: DeadLetterBudget,
    consecutive: AtomicU32,
    /// Of the latest records, how many died (the upper half) and how many there were (the lower).
    recent: AtomicU64,
}

impl Purse {
    pub(super) fn new(budget: DeadLetterBudget) -> Self {
        Self {
            budget,
            consecutive: AtomicU32::new(0),
            recent: AtomicU64::new(0),
        }
    }

    /// A record succeeded.
    pub(super) fn lived(&self) {
        // Mostly it is zero, and a read doesn't take the line from the other lanes.
        if self.consecutive.load(Relaxed) != 0 {
            self.consecutive.store(0, Relaxed);
        }
        if let Some((_, records)) = self.budget.max_ratio {
            self.count(0, records);
        }
    }

    /// Whether another record may die, and how many have died in a row.
    pub(super) fn spend(&self) -> Result<(), u32> {
        let next = |dead: u32| Some(dead.saturating_add(1));
        let before = self.consecutive.fetch_update(Relaxed, Relaxed, next);
        let (Ok(before) | Err(before)) = before;
        let dead = before.saturating_add(1);
        let too_many = self.budget.max_consecutive.is_some_and(|most| dead > most);
        let too_large = self.budget.max_ratio.is_some_and(|(ratio, records)| {
            let (dead, all) = self.count(1, records);
            all >= records / 2 && f64::from(dead) > ratio * f64::from(all)
        });
        match too_many || too_large {
            true => Err(dead),
            false => Ok(()),
        }
    }

    fn count(&self, dead: u32, records: u32) -> (u32, u32) {
        let next = |recent: u64| {
            let (mut died, mut all) = halves(recent);
            if all >= records {
                (died, all) = (died / 2, all / 2);
            }
            Some(u64::from(died + dead) << 32 | u64::from(all + 1))
        };
        let before = self.recent.fetch_update(Relaxed, Relaxed, next);
        let (Ok(before) | Err(before)) = before;
        next(before).map_or((0, 0), halves)
    }
}

fn halves(recent: u64) -> (u32, u32) {
    ((recent >> 32) as u32, recent as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purse(budget: DeadLetterBudget) -> Purse {
        Purse::new(budget)
    }

    #[test]
    fn so_many_may_die_in_a_row() {
        let purse = purse(DeadLetterBudget::new().max_consecutive(2));
        let spend = || purse.spend();
        assert_eq!([spend(), spend(), spend()], [Ok(()), Ok(()), Err(3)]);
        purse.lived();
        assert_eq!([spend(), spend(), spend()], [Ok(()), Ok(()), Err(3)]);
    }

    #[test]
    fn so_large_a_share_may_die() {
        let purse = purse(DeadLetterBudget::new().max_ratio(0.25, 100));
        // Not judged before it can be.
        for _ in 0..49 {
            assert_eq!(purse.spend(), Ok(()));
        }
        assert!(purse.spend().is_err());
        for _ in 0..1000 {
            purse.lived();
        }
        let died = (0..100).take_while(|_| purse.spend().is_ok()).count();
        assert!((10..35).contains(&died), "{died}");
    }

    #[test]
    fn those_that_die_at_the_same_time_are_counted_each() {
        let purse = purse(DeadLetterBudget::new().max_consecutive(u32::MAX));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50_000).for_each(|_| assert!(purse.spend().is_ok())));
            }
        });
        assert_eq!(purse.consecutive.into_inner(), 200_000);
    }

    #[test]
    fn a_budget_without_limits_is_never_spent() {
        let purse = purse(DeadLetterBudget::default());
        assert!((0..1000).all(|_| purse.spend().is_ok()));
    }
}
