//! Every order in which calls and services may be woken while they are polled. A wake-up that is
//! lost is a deadlock, which loom reports.

use std::{
    convert::Infallible,
    future::{Future, Ready},
    pin::Pin,
};

use loom::{future::block_on, sync::atomic::AtomicUsize};

use super::*;
use crate::{
    consume::{control::Wake, engine::Progress, unread::Unread},
    record::{Lease, chunk::Origin},
    sync::{AtomicWaker, atomic::Ordering, thread},
};

/// What a service waits for: a number that is to be reached.
#[derive(Default)]
struct Signal {
    number: AtomicUsize,
    waiting: AtomicWaker,
}

impl Signal {
    fn add(&self) {
        self.number.fetch_add(1, Ordering::SeqCst);
        self.waiting.wake();
    }

    fn reached(&self, number: usize, context: &Context<'_>) -> bool {
        self.waiting.register(context.waker());
        self.number.load(Ordering::SeqCst) >= number
    }
}

/// Ends when its signal reaches the number.
struct Until(Arc<Signal>, usize);

impl Future for Until {
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0.reached(self.1, context) {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }
}

/// Polls calls as a dispatcher does, until all have ended.
fn run_to_the_end(until: Vec<Until>) {
    let woken = Arc::new(Woken::default());
    let mut calls = Calls::new(Arc::clone(&woken));
    let mut left = until.len();
    let mut until = Some(until);
    let mut parts = Vec::new();
    block_on(poll_fn(|context| {
        woken.register(context.waker());
        for future in until.take().into_iter().flatten() {
            match calls.start(future, false) {
                Ok(_) => left -= 1,
                Err(place) => calls.keep(place, ()),
            }
        }
        loop {
            woken.take(&mut parts);
            if parts.is_empty() {
                break;
            }
            for part in parts.drain(..) {
                let Part::Call(place) = part else {
                    continue;
                };
                left -= usize::from(calls.poll(place).is_some());
            }
        }
        match left {
            0 => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }));
}

#[test]
fn a_part_that_is_woken_is_polled_after_what_it_was_woken_for() {
    loom::model(|| {
        let woken = Arc::new(Woken::default());
        let bell = woken.bell(Part::Call(0));
        let number = Arc::new(AtomicUsize::new(0));
        let (told, waker) = (Arc::clone(&number), bell.waker().clone());
        let waking = thread::spawn(move || {
            for number in 1..=2 {
                // The wake-up alone is what carries it over.
                told.store(number, Ordering::Relaxed);
                waker.wake_by_ref();
            }
        });
        let mut parts = Vec::new();
        block_on(poll_fn(|context| {
            woken.register(context.waker());
            loop {
                woken.take(&mut parts);
                if parts.is_empty() {
                    return Poll::Pending;
                }
                parts.clear();
                bell.rearm();
                if number.load(Ordering::Relaxed) == 2 {
                    return Poll::Ready(());
                }
            }
        }));
        waking.join().expect("no panic");
    });
}

#[test]
fn a_call_that_is_woken_while_it_is_polled_is_polled_again() {
    loom::model(|| {
        let signal = Arc::new(Signal::default());
        let other = Arc::clone(&signal);
        let waking = thread::spawn(move || {
            other.add();
            other.add();
        });
        run_to_the_end(vec![Until(signal, 2)]);
        waking.join().expect("no panic");
    });
}

#[test]
fn none_of_two_calls_is_forgotten() {
    loom::model(|| {
        let signals = [(); 2].map(|()| Arc::new(Signal::default()));
        let waking = signals
            .clone()
            .map(|signal| thread::spawn(move || signal.add()));
        run_to_the_end(signals.map(|signal| Until(signal, 1)).into());
        for thread in waking {
            thread.join().expect("no panic");
        }
    });
}

struct Gate(Arc<Signal>);

impl Service<ConsumerRecord> for Gate {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        match self.0.reached(2, context) {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    fn call(&mut self, _: ConsumerRecord) -> Self::Future {
        std::future::ready(Ok(()))
    }
}

#[test]
fn a_service_that_gets_ready_while_it_is_asked_is_asked_again() {
    loom::model(|| {
        let signal = Arc::new(Signal::default());
        let other = Arc::clone(&signal);
        let waking = thread::spawn(move || {
            other.add();
            other.add();
        });
        let woken = Arc::new(Woken::default());
        let origin = Arc::new(Origin::new("t".into(), 0, Lease::new(0)));
        let bell = Unread::new(Wake::default()).bell(1, Arc::new(Progress::default()));
        let mut seated = Seated {
            origin,
            service: Some(Gate(Arc::clone(&signal))),
            ready: woken.bell(Part::Service(0)),
            unread: Arc::new(bell),
        };
        let record = ConsumerRecord::builder("t", 0, 0).build();
        let make = |_: &str, _| Gate(Arc::clone(&signal));
        let mut parts = vec![Part::Service(0)];
        block_on(poll_fn(|context| {
            woken.register(context.waker());
            loop {
                for _ in parts.drain(..) {
                    if let Begun::Called(_) = seated.begin(&make, record.clone(), || ()) {
                        return Poll::Ready(());
                    }
                }
                woken.take(&mut parts);
                if parts.is_empty() {
                    return Poll::Pending;
                }
            }
        }));
        waking.join().expect("no panic");
    });
}
