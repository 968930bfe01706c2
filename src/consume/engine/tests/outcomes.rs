use super::*;
use crate::record::{Delivery, MessageId};
use crate::record::{
    Lease,
    chunk::{Chunk, Memory, Origin},
};

#[test]
fn a_retry_is_the_next_attempt_and_a_deferral_the_same() {
    let mut script = Script::one(bounds());
    script.arrive(1, "0a");
    assert_eq!(script.dispatch(), "0");
    script.retry(0, 2 * SECOND);
    assert_eq!(script.engine.next_due(), Some(2 * SECOND));
    script.pass(SECOND);
    assert_eq!(script.dispatch(), "");
    script.pass(SECOND);
    assert_eq!(script.dispatch(), "0#2");
    assert_eq!(script.attempts(1), [(0, 1)]);
    script.defer(0, SECOND);
    assert_eq!(script.attempts(1), [(0, 1)], "a deferral counts no attempt");
    script.pass(SECOND);
    assert_eq!(script.dispatch(), "0#2");
    let at_once = Outcome::Retry { after: None };
    script.finish(0, Ok(at_once));
    script.pass(Duration::ZERO);
    assert_eq!(script.dispatch(), "0#3");
    assert_eq!(script.attempts(1), [(0, 2)]);
    script.ack(0);
    assert_eq!(script.attempts(1), []);
    assert_eq!(script.counts.retried.get(), 2);
    assert_eq!(script.counts.deferred.get(), 1);
    assert_eq!(script.watermark(1), Some(1));
}

#[test]
fn attempts_of_an_earlier_owner_are_continued() {
    let mut script = Script::new(bounds());
    let made = [(3, 2), (5, u32::MAX)].into();
    let lane = script.open(Opening {
        progress: Arc::new(Progress::new(made)),
        ..Opening::default()
    });
    script.arrive(lane, "2 3 4 5");
    assert_eq!(script.dispatch(), format!("2 3#3 4 5#{}", u32::MAX));
    script.ack(2);
    script.ack(3);
    assert_eq!(script.attempts(lane), [(5, u32::MAX)]);
    script.retry(4, SECOND);
    script.engine.stop(lane);
    assert_eq!(script.attempts(lane), [(4, 1), (5, u32::MAX)]);
    script.retry(5, SECOND);
    assert_eq!(script.attempts(lane), [(4, 1), (5, u32::MAX)]);
}

#[test]
fn what_is_skipped_or_moved_is_complete() {
    let mut script = Script::one(bounds());
    script.arrive(1, "0a 1a 2a");
    assert_eq!(script.dispatch(), "0");
    script.finish(0, Ok(Outcome::Skip));
    assert_eq!(script.dispatch(), "1");
    let to = Delivery::new("t.dlq", 0, 7, MessageId::new());
    script.finish(1, Ok(Outcome::Moved { to }));
    assert_eq!(script.watermark(1), Some(2));
    assert_eq!(script.dispatch(), "2");
    let counts = &script.counts;
    let counted = [&counts.acked, &counts.skipped, &counts.moved].map(|count| count.get());
    assert_eq!(counted, [0, 1, 1]);
}

#[test]
fn a_service_that_asks_to_stop_stops_all_lanes() {
    let mut script = Script::one(bounds());
    let other = script.lane();
    script.arrive(1, "0a 1a 2b");
    script.arrive(other, "10 11");
    assert_eq!(script.dispatch(), "0 2 10 11");
    script.ack(2);
    script.finish(0, Ok(Outcome::Stop));
    script.arrive(1, "3");
    script.arrive(other, "12");
    assert_eq!(script.dispatch(), "");
    assert_eq!(script.news(), ["1 stops at 0", "1 drained"]);
    script.ack(10);
    script.ack(11);
    assert_eq!(script.news(), ["2 drained"]);
    assert_eq!(script.watermark(1), None, "it isn't complete");
    assert_eq!(script.watermark(other), Some(12));
    assert_eq!(script.attempts(1), [], "nor was it tried in vain");
    assert_eq!(script.close(1), [(0, Undone::Stopped)]);
    assert_eq!(script.close(other), []);
}

#[test]
fn a_wait_without_end_is_no_overflow() {
    let mut script = Script::one(bounds());
    script.arrive(1, "0 1");
    assert_eq!(script.dispatch(), "0 1");
    script.pass(SECOND);
    script.retry(0, Duration::MAX);
    script.defer(1, Duration::MAX);
    assert_eq!(script.engine.next_due(), Some(Duration::MAX));
    script.pass(3600 * SECOND);
    assert_eq!(script.dispatch(), "");
}

#[test]
fn attempts_at_records_that_are_there_no_more_are_forgotten() {
    let mut script = Script::new(bounds());
    let made = [(3, 2), (5, 1), (7, 1)].into();
    let lane = script.open(Opening {
        progress: Arc::new(Progress::new(made)),
        ..Opening::default()
    });
    script.arrive(lane, "2 6 7");
    assert_eq!(script.dispatch(), "2 6 7#2");
    script.ack(6);
    script.ack(2);
    assert_eq!(script.attempts(lane), [(7, 1)]);
}

#[test]
fn what_comes_back_at_once_and_again_starves_nothing_that_arrives() {
    let mut script = Script::one(by(Ordering::Unordered));
    let many = Vec::from_iter((0..50).map(|offset| offset.to_string()));
    script.arrive(1, &many.join(" "));
    script.dispatch();
    for offset in 0..50 {
        script.retry(offset, Duration::ZERO);
    }
    script.arrive(1, "50 51");
    script.pass(Duration::ZERO);
    let begun = script.dispatch();
    let place = begun.split(' ').position(|one| one == "50");
    assert!(place.is_some_and(|place| place < 10), "{begun}");
}

#[test]
fn what_is_parked_lets_go_of_what_it_arrived_with() {
    let memory = Arc::new(Memory::new(10_000, || {}));
    let origin = Arc::new(Origin::new("t".into(), 0, Lease::new(0)));
    let chunk = Chunk::new(origin, vec![0; 10_000]).count(&memory, 10_000);
    let chunk = Arc::new(chunk);
    let record = |offset| ConsumerRecord::in_chunk(Arc::clone(&chunk), 0, [None, Some(10)], offset);
    let mut script = Script::one(bounds());
    let records = vec![record(0), record(1)];
    script.progress(1).arrived(records.len());
    script.engine.arrive(1, records);
    drop(chunk);
    assert_eq!(script.dispatch(), "0 1");
    script.ack(1);
    assert!(memory.is_full(), "the other one is running");
    script.retry(0, SECOND);
    assert!(!memory.is_full());
    script.pass(SECOND);
    assert_eq!(script.dispatch(), "0#2");
}
