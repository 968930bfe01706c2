use std::{
    ffi::c_void,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    task::{Context, Wake},
};

use super::*;

struct Text;
impl Content for Text {
    type Shared = ();
    type Note = u32;
    type Value = Arc<str>;
    type Report = u32;
    type Kept = u32;
}

#[derive(Default)]
struct Counter(AtomicUsize);
impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn complete(reporter: &mut Reporter<Text>, address: usize, report: u32) -> Option<Arc<str>> {
    // SAFETY: each test completes an address once, after `launch`.
    unsafe { reporter.complete(address as *mut c_void, report) }.map(|(value, _)| value)
}

fn launch(pool: &Arc<Pool<Text>>, value: &Arc<str>) -> (Ticket<Text>, usize) {
    let ticket = pool.insert(0, Arc::clone(value));
    ticket.launch();
    let address = ticket.address() as usize;
    (ticket, address)
}

#[test]
fn a_report_wakes_the_last_waker_and_frees_the_slot() {
    let (pool, mut reporter) = Pool::<Text>::new(());
    let value: Arc<str> = "v".into();
    let (ticket, address) = launch(&pool, &value);
    let (first, second) = (Arc::new(Counter::default()), Arc::new(Counter::default()));
    for counter in [&first, &second] {
        let waker = Waker::from(Arc::clone(counter));
        assert!(
            ticket
                .poll_done(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    assert!(complete(&mut reporter, address, 7).is_none());
    assert_eq!((first.0.load(SeqCst), second.0.load(SeqCst)), (0, 1));
    ticket.finish(|back, report| assert_eq!((&**back, report), ("v", 7)));
    assert_eq!(Arc::strong_count(&value), 1);
    let (again, _) = launch(&pool, &value);
    assert_eq!(again.address() as usize, address, "the slot is used again");
}

#[test]
fn a_report_may_come_before_the_launch() {
    let (pool, mut reporter) = Pool::<Text>::new(());
    let ticket = pool.insert(0, "v".into());
    assert!(complete(&mut reporter, ticket.address() as usize, 1).is_none());
    ticket.launch();
    assert_eq!(ticket.finish(|_, report| report), 1);
}

#[test]
fn a_dropped_ticket_leaves_the_value_to_the_reporter() {
    let (pool, mut reporter) = Pool::<Text>::new(());
    let value: Arc<str> = "v".into();
    let (ticket, address) = launch(&pool, &value);
    let waker = Waker::from(Arc::new(Counter::default()));
    assert!(
        ticket
            .poll_done(&mut Context::from_waker(&waker))
            .is_pending()
    );
    drop(ticket);
    let mut seen = 0;
    reporter.for_each_in_flight(|_, _| seen += 1);
    assert_eq!(seen, 1);
    assert_eq!(complete(&mut reporter, address, 1).as_deref(), Some("v"));
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn an_aborted_value_comes_back() {
    let (pool, _reporter) = Pool::<Text>::new(());
    let mut ticket = pool.insert(0, "v".into());
    // SAFETY: the address was never given away.
    unsafe {
        *ticket.contents().1 = 5;
        assert_eq!(&*ticket.abort(), "v");
    }
    let mut again = pool.insert(0, "w".into());
    // SAFETY: the address was never given away.
    let kept = *unsafe { again.contents() }.1;
    assert_eq!(kept, 5, "what is kept stays with the slot");
    // SAFETY: the address was never given away.
    drop(unsafe { again.abort() });
}

#[test]
fn dropping_a_ticket_after_its_report_frees_the_value() {
    let (pool, mut reporter) = Pool::<Text>::new(());
    let value: Arc<str> = "v".into();
    let (ticket, address) = launch(&pool, &value);
    assert!(complete(&mut reporter, address, 1).is_none());
    drop(ticket);
    assert_eq!(Arc::strong_count(&value), 1);
}

/// Many threads poll, drop and wait while one completes: every value ends exactly once.
#[test]
fn threads_race_the_reporter() {
    const SENDERS: usize = 4;
    const EACH: usize = if cfg!(miri) { 50 } else { 20_000 };
    let (pool, mut reporter) = Pool::<Text>::new(());
    let value: Arc<str> = "v".into();
    let (sender, receiver) = std::sync::mpsc::channel::<usize>();
    let finished = AtomicUsize::new(0);
    let abandoned = std::thread::scope(|scope| {
        for number in 0..SENDERS {
            let (pool, value, sender) = (&pool, &value, sender.clone());
            let finished = &finished;
            scope.spawn(move || {
                for round in 0..EACH {
                    let ticket = pool.insert(0, Arc::clone(value));
                    let address = ticket.address() as usize;
                    sender.send(address).unwrap();
                    ticket.launch();
                    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
                    let mut cx = Context::from_waker(&waker);
                    match (round + number) % 3 {
                        0 => drop(ticket),
                        1 if ticket.poll_done(&mut cx).is_pending() => drop(ticket),
                        _ => {
                            while ticket.poll_done(&mut cx).is_pending() {
                                std::thread::park();
                            }
                            assert_eq!(
                                ticket.finish(|_, report| report) as usize,
                                address & 0xffff
                            );
                            finished.fetch_add(1, SeqCst);
                        }
                    }
                }
            });
        }
        drop(sender);
        let mut abandoned = 0;
        for address in receiver {
            let report = u32::try_from(address & 0xffff).unwrap();
            abandoned += usize::from(complete(&mut reporter, address, report).is_some());
        }
        abandoned
    });
    assert!(finished.load(SeqCst) >= SENDERS * EACH / 3);
    assert!(abandoned > 0);
    assert_eq!(
        Arc::strong_count(&value),
        1,
        "no value was leaked or freed twice"
    );
    reporter.for_each_in_flight(|_, _| panic!("nothing is on its way"));
}

struct Unpark(std::thread::Thread);
impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
