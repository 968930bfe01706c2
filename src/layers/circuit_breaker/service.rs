use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    select,
    time::{Instant, sleep_until},
};
use tokio_util::sync::ReusableBoxFuture;
use tower::Service;

use super::{
    CircuitBreakerLayer, CircuitOpen, ResponseFuture,
    circuit::{Circuit, Ticket},
    circuits::Circuits,
};
use crate::{
    error::{BoxError, Classified, Classify, ErrorClass, boxed},
    record::{Record, RecordService, Side},
};

/// The service of a [`CircuitBreakerLayer`].
pub struct CircuitBreaker<S> {
    inner: S,
    shared: Arc<Shared>,
    gate: Gate,
}

/// What the clones and their futures share.
pub(super) struct Shared {
    pub(super) classify: Arc<dyn Classify>,
    pub(super) circuits: Arc<Circuits>,
}

/// What `poll_ready` has found out for the next call.
enum Gate {
    Unasked,
    Waiting(ReusableBoxFuture<'static, ()>),
    /// It would pass. Publishing, that is all: who is ready and then doesn't publish, or waits for its
    /// turn first, takes no probe from the others.
    Free,
    /// It passes. Consuming, who is ready calls.
    Open(Ticket),
    Shut(Instant),
}

impl<S> CircuitBreaker<S> {
    pub(super) fn new(inner: S, layer: CircuitBreakerLayer) -> Self {
        Self {
            inner,
            shared: Arc::new(Shared {
                classify: layer.classify,
                circuits: layer.circuits,
            }),
            gate: Gate::Unasked,
        }
    }

    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes the service out.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl Gate {
    /// Asks a circuit whether the next call may pass. Publishing, the answer is always there.
    fn poll(&mut self, circuit: &Arc<Circuit>, side: Side, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self {
                Self::Open(ticket) if ticket.is_valid() => return Poll::Ready(()),
                Self::Waiting(wait) => ready!(wait.poll(cx)),
                Self::Unasked | Self::Free | Self::Open(_) | Self::Shut(_) => {}
            }
            let mut changes = match (circuit.peek(), side) {
                (Ok(()), _) => {
                    *self = Self::Free;
                    return Poll::Ready(());
                }
                (Err(until), Side::Publish) => {
                    *self = Self::Shut(until);
                    return Poll::Ready(());
                }
                (Err(_), Side::Consume) => circuit.changes(),
            };
            // Asked once more: it may have changed before there was somebody to tell.
            *self = match circuit.peek() {
                Ok(()) => Self::Unasked,
                Err(until) => Self::Waiting(ReusableBoxFuture::new(async move {
                    select! {
                        // An error means that the circuit is gone, and nobody is left to wait.
                        _ = changes.changed() => {}
                        () = sleep_until(until) => {}
                    }
                })),
            };
        }
    }

    /// Takes the right to the next call. Consuming, once the service inside is ready as well: a probe
    /// doesn't wait for that, and another may have been faster.
    fn take(&mut self, circuit: &Arc<Circuit>, side: Side) -> bool {
        if let (Self::Free, Side::Consume) = (&self, side) {
            *self = match circuit.admit() {
                Ok(ticket) => Self::Open(ticket),
                Err(_) => return false,
            };
        }
        true
    }
}

impl<R: Record, S: RecordService<R>> Service<R> for CircuitBreaker<S> {
    type Response = R::Done;
    type Error = R::Error;
    type Future = ResponseFuture<R, S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), R::Error>> {
        loop {
            let circuit = match &*self.shared.circuits {
                Circuits::One(circuit) => Some(circuit),
                Circuits::Scoped(_) => None,
            };
            if let Some(circuit) = circuit {
                // Before the service inside: what it reserves must not lie about while nothing passes.
                ready!(self.gate.poll(circuit, R::SIDE, cx));
                if let Gate::Shut(_) = self.gate {
                    return Poll::Ready(Ok(()));
                }
            }
            let ready = ready!(self.inner.poll_ready(cx));
            if ready.is_err() || circuit.is_none_or(|one| self.gate.take(one, R::SIDE)) {
                return Poll::Ready(ready.map_err(|error| R::dead(boxed(error))));
            }
        }
    }

    /// # Panics
    ///
    /// Without a `poll_ready` that answered `Ready` before.
    fn call(&mut self, record: R) -> ResponseFuture<R, S> {
        let ticket = match &*self.shared.circuits {
            Circuits::One(circuit) => match std::mem::replace(&mut self.gate, Gate::Unasked) {
                Gate::Open(ticket) if ticket.is_valid() => Ok(Some(ticket)),
                // It may be long since it was asked.
                Gate::Free | Gate::Open(_) => circuit.admit().map(Some),
                Gate::Shut(until) => Err(until),
                Gate::Unasked | Gate::Waiting(_) => {
                    panic!("the circuit was not asked; `poll_ready` must be called first")
                }
            },
            Circuits::Scoped(scoped) => scoped.admit(&record.view()),
        };
        let ticket = match ticket {
            Ok(ticket) => ticket,
            Err(until) => return ResponseFuture::answered(refuse(&record, until)),
        };
        let kept = record.clone();
        let future = self.inner.call(record);
        ResponseFuture::calling(future, kept, ticket, Arc::clone(&self.shared))
    }
}

/// What becomes of a record while its circuit is open: it comes back, or fails.
fn refuse<R: Record>(record: &R, until: Instant) -> Result<R::Done, R::Error> {
    let retry_after = until.saturating_duration_since(Instant::now());
    // Not at once, in case that it is just being probed.
    let after = retry_after.max(Duration::from_millis(1));
    R::hand_back(after, ErrorClass::Unavailable).ok_or_else(|| {
        let open = Classified::unavailable(CircuitOpen { retry_after });
        record.refuse(BoxError::from(open.retry_after(after)))
    })
}

impl<S: Clone> Clone for CircuitBreaker<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
            gate: Gate::Unasked,
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for CircuitBreaker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("inner", &self.inner)
            .field("circuits", &self.shared.circuits)
            .finish_non_exhaustive()
    }
}
