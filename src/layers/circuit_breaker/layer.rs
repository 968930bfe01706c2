use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::watch;
use tower::Layer;

use super::{
    CircuitBreaker, CircuitState,
    circuit::{Circuit, Rule, Trips},
    circuits::{Circuits, Scope, Scoped},
};
use crate::{
    backoff::LONGEST,
    error::{Classifier, Classify},
    record::RecordView,
};

/// Stops calling what keeps failing, see [`layers::circuit_breaker`](super).
///
/// All services that are made with it, and with its clones, share its circuit: put one layer on each
/// route that shall have a circuit of its own.
#[derive(Clone)]
#[must_use = "a layer does nothing until it is put around a service"]
pub struct CircuitBreakerLayer {
    rule: Rule,
    pub(super) classify: Arc<dyn Classify>,
    pub(super) circuits: Arc<Circuits>,
}

impl CircuitBreakerLayer {
    /// Opens after so many failures without a success between; 0 counts as 1.
    pub fn consecutive(failures: u32, open_for: Duration) -> Self {
        Self::with(Trips::Consecutive(failures.max(1)), open_for)
    }

    /// Opens when at least this share of the calls within a window of time failed: 0.5 is one half.
    /// Below `min_calls` in the window nothing is judged.
    ///
    /// Calls are counted under a lock that all clones share; [`consecutive`](Self::consecutive) needs
    /// none while nothing fails.
    pub fn failure_rate(ratio: f64, window: Duration, min_calls: u32, open_for: Duration) -> Self {
        let trips = Trips::Rate {
            ratio,
            window,
            min_calls,
        };
        Self::with(trips, open_for)
    }

    fn with(trips: Trips, open_for: Duration) -> Self {
        let rule = Rule {
            trips,
            open_for: open_for.min(LONGEST),
        };
        Self {
            circuits: Arc::new(Circuits::One(Arc::new(Circuit::new(rule.clone())))),
            classify: Arc::new(Classifier::new()),
            rule,
        }
    }

    /// What decides about the class of an error, and so what a failure is.
    pub fn classify(mut self, classify: impl Classify) -> Self {
        self.classify = Arc::new(classify);
        self
    }

    /// A circuit for each key of each topic. Records without a key have none.
    pub fn per_key(self) -> Self {
        self.per(|record| Some(join(record.topic, record.key?)))
    }

    /// A circuit for each partition. A record whose partition isn't chosen yet has none.
    pub fn per_partition(self) -> Self {
        self.per(|record| Some(join(record.topic, &record.partition?.to_be_bytes())))
    }

    /// A circuit for each value of a function; `None` is without one.
    ///
    /// Of these circuits at most 10 000 are kept at a time: those of scopes that failed of late.
    ///
    /// To be set before the layer is cloned or used, and before a [`monitor`](Self::monitor) is made: it
    /// starts with other circuits.
    pub fn per(
        mut self,
        scope: impl Fn(&RecordView<'_>) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let scope: Arc<Scope> = Arc::new(scope);
        let scoped = Scoped::new(self.rule.clone(), scope);
        self.circuits = Arc::new(Circuits::Scoped(scoped));
        self
    }

    /// Shows the state of the circuit.
    #[must_use]
    pub fn monitor(&self) -> CircuitMonitor {
        CircuitMonitor {
            circuits: Arc::clone(&self.circuits),
        }
    }
}

fn join(topic: &str, rest: &[u8]) -> Vec<u8> {
    // A topic's name has no NUL.
    [topic.as_bytes(), &[0], rest].concat()
}

impl<S> Layer<S> for CircuitBreakerLayer {
    type Service = CircuitBreaker<S>;

    fn layer(&self, inner: S) -> CircuitBreaker<S> {
        CircuitBreaker::new(inner, self.clone())
    }
}

impl fmt::Debug for CircuitBreakerLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreakerLayer")
            .field("rule", &self.rule)
            .field("circuits", &self.circuits)
            .finish_non_exhaustive()
    }
}

/// Shows the state of a layer's circuits; made by [`CircuitBreakerLayer::monitor`].
#[derive(Debug, Clone)]
pub struct CircuitMonitor {
    circuits: Arc<Circuits>,
}

/// A monitor that keeps nothing alive.
#[cfg(feature = "otel")]
pub(crate) struct WeakMonitor(std::sync::Weak<Circuits>);

#[cfg(feature = "otel")]
impl WeakMonitor {
    pub(crate) fn upgrade(&self) -> Option<CircuitMonitor> {
        let circuits = self.0.upgrade()?;
        Some(CircuitMonitor { circuits })
    }
}

impl CircuitMonitor {
    #[cfg(feature = "otel")]
    pub(crate) fn downgrade(&self) -> WeakMonitor {
        WeakMonitor(Arc::downgrade(&self.circuits))
    }

    /// The state. With a circuit for each scope: closed while all are, and open otherwise.
    #[must_use]
    pub fn state(&self) -> CircuitState {
        match &*self.circuits {
            Circuits::One(circuit) => circuit.state(),
            Circuits::Scoped(scoped) => match scoped.open() {
                0 => CircuitState::Closed,
                _ => CircuitState::Open,
            },
        }
    }

    /// How many circuits are not closed: 0 or 1, or more where each scope has its own.
    #[must_use]
    pub fn open_circuits(&self) -> usize {
        match &*self.circuits {
            Circuits::One(circuit) => usize::from(circuit.state() != CircuitState::Closed),
            Circuits::Scoped(scoped) => scoped.open(),
        }
    }

    /// Tells each change of the state. `None` where each scope has a circuit.
    #[must_use]
    pub fn subscribe(&self) -> Option<watch::Receiver<CircuitState>> {
        match &*self.circuits {
            Circuits::One(circuit) => Some(circuit.changes()),
            Circuits::Scoped(_) => None,
        }
    }
}
