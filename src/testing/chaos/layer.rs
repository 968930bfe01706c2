use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use tower::Layer;

use super::{
    Chaos,
    fate::{Fates, Rates},
};
use crate::error::ErrorClass;

/// Errors, delays, panics and services that aren't ready, see [`testing::chaos`](super).
///
/// Rates are shares of the calls, from 0 to 1, and independent of each other; all are 0 at first. Clones
/// of a service share its counts.
#[derive(Debug, Clone)]
#[must_use = "a layer does nothing until it is put around a service"]
pub struct ChaosLayer {
    seed: u64,
    rates: Rates,
}

impl ChaosLayer {
    /// A layer that does nothing yet.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            rates: Rates::default(),
        }
    }

    /// Fails calls with a [`ChaosError`](super::ChaosError), without passing the record on: as
    /// [`Retriable`](ErrorClass::Retriable), unless [`error_class`](Self::error_class) says
    /// otherwise.
    ///
    /// # Panics
    ///
    /// When the rate isn't from 0 to 1; so do the others.
    pub fn errors(mut self, rate: f64) -> Self {
        self.rates.errors = checked(rate);
        self
    }

    /// The class of the errors.
    pub fn error_class(mut self, class: ErrorClass) -> Self {
        self.rates.class = class;
        self
    }

    /// Panics in the future of a call, without passing the record on. A call that is to panic and to
    /// fail panics.
    pub fn panics(mut self, rate: f64) -> Self {
        self.rates.panics = checked(rate);
        self
    }

    /// Holds calls up for a time within `delay`, by tokio's clock, before the future inside is polled
    /// for the first time. A range whose end lies before its start is its start.
    pub fn delays(mut self, rate: f64, delay: RangeInclusive<Duration>) -> Self {
        self.rates.delays = checked(rate);
        self.rates.delay = delay;
        self
    }

    /// Isn't ready for a time, by tokio's clock, before a call; [`Duration::MAX`] is never again.
    pub fn unready(mut self, rate: f64, time: Duration) -> Self {
        self.rates.unready = checked(rate);
        self.rates.unready_time = time;
        self
    }
}

fn checked(rate: f64) -> f64 {
    assert!((0.0..=1.0).contains(&rate), "a rate is from 0 to 1: {rate}");
    rate
}

impl<S> Layer<S> for ChaosLayer {
    type Service = Chaos<S>;

    fn layer(&self, inner: S) -> Chaos<S> {
        let fates = Fates::new(self.seed, self.rates.clone());
        Chaos::new(inner, Arc::new(fates))
    }
}
