//! One circuit for all, or one for each scope.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::circuit::{Circuit, CircuitState, Rule, Sign, Ticket, Turn};
use crate::record::RecordView;

/// How many scopes may have failed of late; beyond, others have no circuit.
const SCOPES: usize = 10_000;
/// A circuit that saw no failure for so long, beyond its time of being open, is forgotten when room is
/// needed.
const QUIET: Duration = Duration::from_secs(60);

pub(super) type Scope = dyn Fn(&RecordView<'_>) -> Option<Vec<u8>> + Send + Sync;

pub(super) enum Circuits {
    One(Arc<Circuit>),
    Scoped(Scoped),
}

pub(super) struct Scoped {
    rule: Rule,
    scope: Arc<Scope>,
    /// Only those that have seen a failure: a healthy scope costs nothing.
    failed: Mutex<HashMap<Vec<u8>, Arc<Circuit>>>,
    count: AtomicUsize,
}

impl Scoped {
    pub(super) fn new(rule: Rule, scope: Arc<Scope>) -> Self {
        Self {
            rule,
            scope,
            failed: Mutex::default(),
            count: AtomicUsize::new(0),
        }
    }

    /// Lets a call pass, with a ticket where its scope has seen a failure, or says when to ask again.
    pub(super) fn admit(&self, record: &RecordView<'_>) -> Result<Option<Ticket>, Instant> {
        if self.count.load(SeqCst) == 0 {
            return Ok(None);
        }
        let Some(scope) = (self.scope)(record) else {
            return Ok(None);
        };
        let circuit = self.failed().get(&scope).map(Arc::clone);
        circuit.map(|circuit| circuit.admit()).transpose()
    }

    pub(super) fn settle(
        &self,
        record: &RecordView<'_>,
        ticket: Option<Ticket>,
        sign: Sign,
    ) -> Option<Turn> {
        let turn = match (ticket, sign) {
            (Some(ticket), _) => ticket.settle(sign),
            (None, Sign::Failure) => {
                return self.circuit((self.scope)(record)?)?.failed();
            }
            (None, _) => return None,
        };
        if sign == Sign::Success
            && let Some(scope) = (self.scope)(record)
        {
            let mut failed = self.failed();
            if failed.get(&scope).is_some_and(|circuit| circuit.is_fresh()) {
                failed.remove(&scope);
                self.count.store(failed.len(), SeqCst);
            }
        }
        turn
    }

    /// The circuit of a scope that failed; `None` where there are too many.
    fn circuit(&self, scope: Vec<u8>) -> Option<Arc<Circuit>> {
        let mut failed = self.failed();
        if failed.len() >= SCOPES && !failed.contains_key(&scope) {
            let quiet = self.rule.open_for.saturating_add(QUIET);
            failed.retain(|_, circuit| circuit.quiet_for() < quiet);
            if failed.len() >= SCOPES {
                return None;
            }
        }
        let new = || Arc::new(Circuit::new(self.rule.clone()));
        let circuit = Arc::clone(failed.entry(scope).or_insert_with(new));
        self.count.store(failed.len(), SeqCst);
        Some(circuit)
    }

    /// How many are not closed.
    pub(super) fn open(&self) -> usize {
        let is_open = |circuit: &&Arc<Circuit>| circuit.state() != CircuitState::Closed;
        self.failed().values().filter(is_open).count()
    }

    fn failed(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Arc<Circuit>>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Circuits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(circuit) => f.debug_tuple("One").field(&circuit.state()).finish(),
            Self::Scoped(scoped) => f.debug_tuple("Scoped").field(&scoped.count).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::{
        layers::circuit_breaker::circuit::Trips,
        record::{ConsumerRecord, Record},
    };

    fn scoped() -> Scoped {
        let rule = Rule {
            trips: Trips::Consecutive(2),
            open_for: Duration::from_secs(1),
        };
        let by_offset = |record: &RecordView<'_>| {
            let offset = record.offset.filter(|offset| *offset >= 0);
            offset.map(|offset| offset.to_be_bytes().to_vec())
        };
        Scoped::new(rule, Arc::new(by_offset))
    }

    fn call(scoped: &Scoped, offset: i64, sign: Sign) -> bool {
        let record = ConsumerRecord::builder("t", 0, offset).build();
        let admitted = scoped.admit(&record.view());
        let passed = admitted.is_ok();
        if let Ok(ticket) = admitted {
            scoped.settle(&record.view(), ticket, sign);
        }
        passed
    }

    #[tokio::test(start_paused = true)]
    async fn each_scope_has_its_own_circuit() {
        let scoped = scoped();
        for offset in [1, 2] {
            assert!(call(&scoped, offset, Sign::Failure));
        }
        assert!(call(&scoped, 1, Sign::Failure));
        assert!(!call(&scoped, 1, Sign::Success));
        assert_eq!(scoped.open(), 1);
        assert!(call(&scoped, 2, Sign::Success));
        assert!(call(&scoped, 3, Sign::Success));
        advance(Duration::from_secs(1)).await;
        assert!(call(&scoped, 1, Sign::Success));
        assert_eq!((scoped.open(), scoped.failed().len()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_no_scope_has_no_circuit() {
        let scoped = scoped();
        for _ in 0..9 {
            assert!(call(&scoped, -1, Sign::Failure));
        }
        assert!(scoped.failed().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_circuits_is_bounded() {
        let scoped = scoped();
        let scopes = SCOPES as i64;
        for offset in 0..=scopes {
            call(&scoped, offset, Sign::Failure);
        }
        assert_eq!(scoped.failed().len(), SCOPES);
        assert!(call(&scoped, scopes, Sign::Failure));
        assert!(call(&scoped, scopes, Sign::Failure), "it has no circuit");
        advance(QUIET * 2).await;
        assert!(call(&scoped, scopes, Sign::Failure));
        assert_eq!(scoped.failed().len(), 1);
    }
}
