use std::{
    error::Error,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::window::Window;

/// What a circuit does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CircuitState {
    /// They pass.
    Closed,
    /// None passes.
    Open,
    /// One passes, as a probe.
    HalfOpen,
}

/// The circuit is open; the service was not called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitOpen {
    pub(super) retry_after: Duration,
}

impl fmt::Display for CircuitOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.retry_after.as_secs_f64();
        write!(
            f,
            "the circuit is open, since too many of the latest calls failed; it is tried again in \
             {seconds:.1} s"
        )
    }
}

impl Error for CircuitOpen {}

/// When to open, and for how long.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) trips: Trips,
    pub(super) open_for: Duration,
}

#[derive(Debug, Clone)]
pub(super) enum Trips {
    Consecutive(u32),
    Rate {
        ratio: f64,
        window: Duration,
        min_calls: u32,
    },
}

/// How a call went, as far as it says anything about what is behind the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Success,
    Failure,
    Nothing,
}

/// What a call changed, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// For so long.
    Opened(Duration),
    Closed,
}

#[derive(Debug)]
pub(super) struct Circuit {
    rule: Rule,
    /// Even while it is closed, odd otherwise; one more with each change between both. So a closed
    /// circuit is passed by one read, and a call of an earlier age is known by its number.
    age: AtomicU64,
    consecutive: AtomicU32,
    inner: Mutex<Inner>,
    changes: watch::Sender<CircuitState>,
}

#[derive(Debug)]
struct Inner {
    until: Instant,
    probing: bool,
    window: Window,
    failed_at: Instant,
}

impl Circuit {
    pub(super) fn new(rule: Rule) -> Self {
        Self {
            rule,
            age: AtomicU64::new(0),
            consecutive: AtomicU32::new(0),
            inner: Mutex::new(Inner {
                until: Instant::now(),
                probing: false,
                window: Window::new(),
                failed_at: Instant::now(),
            }),
            changes: watch::Sender::new(CircuitState::Closed),
        }
    }

    pub(super) fn state(&self) -> CircuitState {
        *self.changes.borrow()
    }

    pub(super) fn changes(&self) -> watch::Receiver<CircuitState> {
        self.changes.subscribe()
    }

    /// Lets a call pass, or says when to ask again; with a probe on its way that is when the state
    /// changes, and the time is only the earliest.
    pub(super) fn admit(self: &Arc<Self>) -> Result<Ticket, Instant> {
        let mut age = self.age.load(SeqCst);
        if is_open(age) {
            let mut inner = self.inner();
            age = self.age.load(SeqCst);
            if is_open(age) {
                self.would_probe(&inner)?;
                inner.probing = true;
                self.changes.send_replace(CircuitState::HalfOpen);
            }
        }
        Ok(Ticket {
            circuit: Some(Arc::clone(self)),
            age,
        })
    }

    /// Whether a call would pass by now; else when to ask again.
    pub(super) fn peek(&self) -> Result<(), Instant> {
        if !is_open(self.age.load(SeqCst)) {
            return Ok(());
        }
        let inner = self.inner();
        // It may have closed meanwhile.
        match is_open(self.age.load(SeqCst)) {
            true => self.would_probe(&inner),
            false => Ok(()),
        }
    }

    fn would_probe(&self, inner: &Inner) -> Result<(), Instant> {
        let now = Instant::now();
        match inner {
            Inner { until, .. } if now < *until => Err(*until),
            Inner { probing: true, .. } => Err(now + self.rule.open_for),
            _ => Ok(()),
        }
    }

    /// A call without a ticket failed. It is no probe: where the circuit is open by now, it is from before.
    pub(super) fn failed(&self) -> Option<Turn> {
        let age = self.age.load(SeqCst);
        match is_open(age) {
            true => None,
            false => self.settle(age, Sign::Failure),
        }
    }

    fn settle(&self, age: u64, sign: Sign) -> Option<Turn> {
        if age != self.age.load(SeqCst) {
            // A call from before the last change tells nothing new.
            return None;
        }
        match (is_open(age), sign) {
            (true, _) => self.probed(sign),
            (false, Sign::Nothing) => None,
            (false, _) => self.count(age, sign == Sign::Failure),
        }
    }

    fn count(&self, age: u64, failed: bool) -> Option<Turn> {
        let trips = match self.rule.trips {
            Trips::Consecutive(most) if failed => {
                self.inner().failed_at = Instant::now();
                self.consecutive.fetch_add(1, SeqCst).saturating_add(1) >= most
            }
            Trips::Consecutive(_) => {
                // Mostly it is zero, and a read doesn't take the line from the other lanes.
                if self.consecutive.load(SeqCst) != 0 {
                    self.consecutive.store(0, SeqCst);
                }
                false
            }
            Trips::Rate {
                ratio,
                window,
                min_calls,
            } => {
                let mut inner = self.inner();
                if failed {
                    inner.failed_at = Instant::now();
                }
                let sum = inner.window.count(failed, window);
                sum.calls >= min_calls && f64::from(sum.failures) >= ratio * f64::from(sum.calls)
            }
        };
        match failed && trips {
            true => self.trip(age),
            false => None,
        }
    }

    fn trip(&self, age: u64) -> Option<Turn> {
        let mut inner = self.inner();
        if self.age.load(SeqCst) != age {
            return None;
        }
        let turn = self.open(&mut inner);
        self.age.store(age + 1, SeqCst);
        Some(turn)
    }

    fn probed(&self, sign: Sign) -> Option<Turn> {
        let mut inner = self.inner();
        inner.probing = false;
        match sign {
            Sign::Success => {
                inner.window = Window::new();
                self.consecutive.store(0, SeqCst);
                self.age.fetch_add(1, SeqCst);
                self.changes.send_replace(CircuitState::Closed);
                Some(Turn::Closed)
            }
            Sign::Failure => Some(self.open(&mut inner)),
            // It is another's turn; this wakes those who wait.
            Sign::Nothing => {
                self.changes.send_replace(CircuitState::HalfOpen);
                None
            }
        }
    }

    fn open(&self, inner: &mut Inner) -> Turn {
        inner.until = Instant::now() + self.rule.open_for;
        inner.probing = false;
        self.changes.send_replace(CircuitState::Open);
        Turn::Opened(self.rule.open_for)
    }

    /// Whether it remembers nothing that a new one wouldn't know.
    pub(super) fn is_fresh(&self) -> bool {
        !is_open(self.age.load(SeqCst))
            && match self.rule.trips {
                Trips::Consecutive(_) => self.consecutive.load(SeqCst) == 0,
                Trips::Rate { window, .. } => self.inner().failed_at.elapsed() > window,
            }
    }

    /// How long ago its last failure was.
    pub(super) fn quiet_for(&self) -> Duration {
        self.inner().failed_at.elapsed()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_open(age: u64) -> bool {
    age % 2 == 1
}

/// The right to one call. A probe that is dropped unsettled leaves its turn to another.
#[derive(Debug)]
pub(super) struct Ticket {
    /// `None` once it is settled.
    circuit: Option<Arc<Circuit>>,
    age: u64,
}

impl Ticket {
    /// Whether the circuit is still as it was.
    pub(super) fn is_valid(&self) -> bool {
        let circuit = self.circuit.as_ref();
        circuit.is_some_and(|circuit| circuit.age.load(SeqCst) == self.age)
    }

    pub(super) fn settle(mut self, sign: Sign) -> Option<Turn> {
        let circuit = self.circuit.take()?;
        circuit.settle(self.age, sign)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(circuit) = self.circuit.take() {
            circuit.settle(self.age, Sign::Nothing);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn circuit(trips: Trips) -> Arc<Circuit> {
        Arc::new(Circuit::new(Rule {
            trips,
            open_for: SECOND,
        }))
    }

    fn pass(circuit: &Arc<Circuit>, sign: Sign) {
        circuit.admit().expect("a pass").settle(sign);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_a_probe_closes_it() {
        let circuit = circuit(Trips::Consecutive(2));
        for sign in [Sign::Failure, Sign::Success, Sign::Failure, Sign::Nothing] {
            pass(&circuit, sign);
        }
        assert_eq!(circuit.state(), CircuitState::Closed);
        pass(&circuit, Sign::Failure);
        assert_eq!(circuit.state(), CircuitState::Open);
        assert_eq!(circuit.admit().unwrap_err(), Instant::now() + SECOND);
        advance(SECOND).await;
        let probe = circuit.admit().expect("a probe");
        assert_eq!(circuit.state(), CircuitState::HalfOpen);
        assert!(circuit.admit().is_err());
        probe.settle(Sign::Failure);
        assert_eq!(circuit.state(), CircuitState::Open);
        advance(SECOND).await;
        pass(&circuit, Sign::Success);
        assert_eq!(circuit.state(), CircuitState::Closed);
        // It begins anew.
        pass(&circuit, Sign::Failure);
        assert_eq!(circuit.state(), CircuitState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_tells_nothing_leaves_its_turn_to_another() {
        let circuit = circuit(Trips::Consecutive(1));
        pass(&circuit, Sign::Failure);
        advance(SECOND).await;
        drop(circuit.admit().expect("a probe"));
        pass(&circuit, Sign::Nothing);
        pass(&circuit, Sign::Success);
        assert_eq!(circuit.state(), CircuitState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_from_before_it_opened_change_nothing() {
        let circuit = circuit(Trips::Consecutive(1));
        let [first, second, third] = [(); 3].map(|()| circuit.admit().expect("a pass"));
        first.settle(Sign::Failure);
        assert!(!second.is_valid());
        second.settle(Sign::Success);
        assert_eq!(circuit.state(), CircuitState::Open);
        advance(SECOND).await;
        pass(&circuit, Sign::Success);
        third.settle(Sign::Failure);
        assert_eq!(circuit.state(), CircuitState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_of_failures_opens_it() {
        let circuit = circuit(Trips::Rate {
            ratio: 0.5,
            window: 10 * SECOND,
            min_calls: 4,
        });
        // Too few to judge.
        for _ in 0..3 {
            pass(&circuit, Sign::Failure);
        }
        advance(20 * SECOND).await;
        assert!(circuit.is_fresh());
        for sign in [Sign::Success, Sign::Success, Sign::Failure] {
            pass(&circuit, sign);
        }
        assert_eq!(circuit.state(), CircuitState::Closed);
        assert!(!circuit.is_fresh());
        pass(&circuit, Sign::Failure);
        assert_eq!(circuit.state(), CircuitState::Open);
    }
}
