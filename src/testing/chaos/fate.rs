//! What happens to a call: a function of the seed.

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{error::ErrorClass, record::RecordView};

#[derive(Debug, Clone)]
pub(super) struct Rates {
    pub(super) errors: f64,
    pub(super) class: ErrorClass,
    pub(super) panics: f64,
    pub(super) delays: f64,
    pub(super) delay: RangeInclusive<Duration>,
    pub(super) unready: f64,
    pub(super) unready_time: Duration,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            errors: 0.0,
            class: ErrorClass::Retriable,
            panics: 0.0,
            delays: 0.0,
            delay: Duration::ZERO..=Duration::ZERO,
            unready: 0.0,
            unready_time: Duration::ZERO,
        }
    }
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) delay: Option<Duration>,
    pub(super) end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Passes,
    Fails,
    Panics,
}

/// Draws fates; shared by the services of a layer.
#[derive(Debug)]
pub(super) struct Fates {
    seed: u64,
    pub(super) rates: Rates,
    calls: AtomicU64,
    polls: AtomicU64,
    /// How often consumed records were failed that have not passed since. The attempt of a record is
    /// not enough: one that is deferred comes again as the same.
    failed: Mutex<HashMap<u64, u64>>,
}

/// What is drawn: each has its own sequence.
#[derive(Clone, Copy)]
enum Draw {
    Error = 1,
    Panic,
    Delay,
    Length,
    Unready,
}

impl Fates {
    pub(super) fn new(seed: u64, rates: Rates) -> Self {
        Self {
            seed,
            rates,
            calls: AtomicU64::new(0),
            polls: AtomicU64::new(0),
            failed: Mutex::default(),
        }
    }

    pub(super) fn of_call(&self, record: &RecordView<'_>) -> Fate {
        let Some(place) = place(record) else {
            return self.fate(self.calls.fetch_add(1, Relaxed));
        };
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let times = failed.remove(&place).unwrap_or_default();
        let fate = self.fate(mix(place, times));
        if fate.end != End::Passes {
            failed.insert(place, times + 1);
        }
        fate
    }

    /// How long a service isn't ready.
    pub(super) fn of_readiness(&self) -> Option<Duration> {
        let number = self.polls.fetch_add(1, Relaxed);
        let unready = self.draw(number, Draw::Unready) < self.rates.unready;
        unready.then_some(self.rates.unready_time)
    }

    fn fate(&self, number: u64) -> Fate {
        let rates = &self.rates;
        let delayed = self.draw(number, Draw::Delay) < rates.delays;
        let (shortest, longest) = (*rates.delay.start(), *rates.delay.end());
        let span = longest.saturating_sub(shortest);
        let end = if self.draw(number, Draw::Panic) < rates.panics {
            End::Panics
        } else if self.draw(number, Draw::Error) < rates.errors {
            End::Fails
        } else {
            End::Passes
        };
        Fate {
            delay: delayed.then(|| shortest + span.mul_f64(self.draw(number, Draw::Length))),
            end,
        }
    }

    /// From 0 up to 1.
    fn draw(&self, number: u64, what: Draw) -> f64 {
        let bits = mix(mix(self.seed, what as u64), number) >> 11;
        // 53 bits, as many as a float holds.
        bits as f64 / (1_u64 << 53) as f64
    }
}

/// Where a consumed record stands.
fn place(record: &RecordView<'_>) -> Option<u64> {
    let topic = record
        .topic
        .bytes()
        .fold(0, |hash, byte| mix(hash, byte.into()));
    let partition = mix(topic, u64::from(record.partition?.unsigned_abs()));
    Some(mix(partition, record.offset?.unsigned_abs()))
}

/// SplitMix64's finalizer over both: the same on every machine and in every version.
fn mix(a: u64, b: u64) -> u64 {
    let mut z = a
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(b)
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ConsumerRecord, ProducerRecord, Record};

    fn half(seed: u64) -> Fates {
        let rates = Rates {
            errors: 0.5,
            delays: 0.5,
            delay: Duration::from_secs(1)..=Duration::from_secs(3),
            ..Rates::default()
        };
        Fates::new(seed, rates)
    }

    fn consumed(fates: &Fates, partition: i32, offset: i64) -> Fate {
        fates.of_call(
            &ConsumerRecord::builder("t", partition, offset)
                .build()
                .view(),
        )
    }

    #[test]
    fn a_rate_is_about_the_share_of_the_calls() {
        for seed in 0..5 {
            let fates = half(seed);
            let all: Vec<Fate> = (0..10_000).map(|n| consumed(&fates, 0, n)).collect();
            let failed = all.iter().filter(|fate| fate.end == End::Fails).count();
            assert!((4_800..5_200).contains(&failed), "{failed}");
            let delays = all.iter().filter_map(|fate| fate.delay);
            assert!(delays.clone().all(|one| (1..=3).contains(&one.as_secs())));
            let total: Duration = delays.clone().sum();
            let mean = total.as_secs_f64() / delays.count() as f64;
            assert!((1.9..2.1).contains(&mean), "{mean}");
        }
    }

    #[test]
    fn none_and_all_are_exact() {
        let fates = Fates::new(1, Rates::default());
        assert!((0..1000).all(|n| consumed(&fates, 0, n).end == End::Passes));
        assert_eq!(fates.of_readiness(), None);
        let rates = Rates {
            errors: 1.0,
            panics: 1.0,
            ..Rates::default()
        };
        let fates = Fates::new(1, rates);
        assert!((0..1000).all(|n| consumed(&fates, 0, n).end == End::Panics));
    }

    #[test]
    fn a_consumed_records_fate_is_the_same_in_whatever_order_it_comes() {
        let (one, other) = (half(7), half(7));
        let forth: Vec<Fate> = (0..100).map(|n| consumed(&one, 0, n)).collect();
        let mut back: Vec<Fate> = (0..100).rev().map(|n| consumed(&other, 0, n)).collect();
        back.reverse();
        assert_eq!(forth, back);
        let elsewhere: Vec<Fate> = (0..100).map(|n| consumed(&other, 1, n)).collect();
        assert_ne!(forth, elsewhere);
        let another: Vec<Fate> = (0..100).map(|n| consumed(&half(8), 0, n)).collect();
        assert_ne!(forth, another);
    }

    #[test]
    fn what_failed_may_pass_the_next_time_and_is_forgotten_then() {
        let fates = half(3);
        for offset in 0..100 {
            let calls = (0..64).find(|_| consumed(&fates, 0, offset).end == End::Passes);
            assert!(calls.is_some(), "{offset} never passes");
        }
        assert!(fates.failed.lock().unwrap().is_empty());
    }

    #[test]
    fn records_to_be_published_are_told_apart_by_their_count() {
        let record = ProducerRecord::to("t").partition(0);
        let published = |fates: &Fates| -> Vec<Fate> {
            let calls = 0..100;
            calls.map(|_| fates.of_call(&record.view())).collect()
        };
        let fates = half(7);
        let (first, second) = (published(&fates), published(&fates));
        assert_ne!(first, second);
        assert_eq!(first, published(&half(7)));
    }
}
