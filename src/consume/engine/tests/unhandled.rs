use super::*;

fn on_unhandled(on_unhandled: OnUnhandled) -> Bounds {
    Bounds {
        on_unhandled,
        ..bounds()
    }
}

fn pausing() -> Bounds {
    on_unhandled(OnUnhandled::pause_partition(SECOND))
}

#[test]
fn a_dead_letter_that_nobody_moved_is_a_failure() {
    let mut script = Script::one(bounds());
    script.arrive(1, "0 1");
    assert_eq!(script.dispatch(), "0 1");
    let reason = "no such order".into();
    script.finish(0, Ok(Outcome::DeadLetter { reason }));
    script.ack(1);
    let news = script.news();
    assert!(
        news[0].starts_with("1 failed at 0: ") && news[0].ends_with(": no such order"),
        "{news:?}"
    );
    assert_eq!(script.watermark(1), None);
    assert_eq!(script.close(1), [(0, Undone::Failed)]);
}

#[test]
fn a_paused_lane_may_be_taken_away() {
    let mut script = Script::one(pausing());
    script.arrive(1, "0a 1a");
    assert_eq!(script.dispatch(), "0");
    script.fail(0);
    script.engine.stop(1);
    assert_eq!(script.news(), ["1 failed at 0: broken", "1 drained"]);
    script.pass(SECOND);
    assert_eq!(script.dispatch(), "");
    assert_eq!(script.attempts(1), [(0, 1)]);
    assert_eq!(script.close(1), [(0, Undone::Waiting)]);
}

#[test]
fn a_skipped_failure_is_complete_and_told() {
    let mut script = Script::one(on_unhandled(OnUnhandled::Skip));
    script.arrive(1, "0a 1a");
    assert_eq!(script.dispatch(), "0");
    script.fail(0);
    assert_eq!(script.news(), ["1 failed at 0: broken"]);
    assert_eq!(script.watermark(1), Some(1));
    assert_eq!(script.counts.skipped.get(), 1);
    assert_eq!(script.dispatch(), "1");
}

#[test]
fn a_failure_stops_all_lanes() {
    let mut script = Script::one(bounds());
    let other = script.lane();
    script.arrive(1, "0a 1b 2c");
    script.arrive(other, "10");
    assert_eq!(script.dispatch(), "0 1 2 10");
    script.retry(2, SECOND);
    script.fail(0);
    script.arrive(1, "3");
    script.arrive(other, "11");
    script.pass(SECOND);
    assert_eq!(script.dispatch(), "");
    assert_eq!(script.news(), ["1 failed at 0: broken"]);
    script.ack(1);
    script.ack(10);
    assert_eq!(script.news(), ["1 drained", "2 drained"]);
    assert_eq!(script.watermark(1), None);
    assert_eq!(script.watermark(other), Some(11));
    assert_eq!(script.attempts(1), [(0, 1), (2, 1)]);
    let mut undone = script.close(1);
    undone.sort_by_key(|(offset, _)| *offset);
    assert_eq!(undone, [(0, Undone::Failed), (2, Undone::Waiting)]);
}

#[test]
fn a_failure_pauses_its_lane_and_is_then_the_first() {
    let mut script = Script::one(pausing());
    let other = script.lane();
    script.arrive(1, "0a 1b 2b 3c");
    assert_eq!(script.dispatch(), "0 1 3");
    script.fail(0);
    assert_eq!(script.news(), ["1 failed at 0: broken"]);
    assert!(script.progress(1).paused.load(Relaxed));
    script.ack(1);
    script.retry(3, SECOND / 2);
    script.arrive(1, "4d");
    script.arrive(other, "10");
    assert_eq!(script.dispatch(), "10", "other lanes go on");
    script.pass(SECOND / 2);
    assert_eq!(script.dispatch(), "");
    script.pass(SECOND / 2);
    assert!(!script.progress(1).paused.load(Relaxed));
    let dispatched = script.dispatch();
    assert!(dispatched.starts_with("0#2 "), "{dispatched}");
    assert_eq!(dispatched, "0#2 2 3#2 4");
    for offset in [0, 2, 3, 4] {
        script.ack(offset);
    }
    assert_eq!(script.watermark(1), Some(5));
}

#[test]
fn a_second_failure_prolongs_the_pause() {
    let mut script = Script::one(pausing());
    script.arrive(1, "0a 1b");
    assert_eq!(script.dispatch(), "0 1");
    script.fail(0);
    script.pass(SECOND / 2);
    script.fail(1);
    script.pass(SECOND / 2);
    assert_eq!(script.dispatch(), "");
    assert!(script.progress(1).paused.load(Relaxed));
    script.pass(SECOND / 2);
    assert_eq!(script.dispatch(), "1#2 0#2");
}

#[test]
fn a_pause_by_request_outlasts_one_for_a_failure_and_the_reverse() {
    let mut script = Script::one(pausing());
    script.arrive(1, "0a 1b");
    assert_eq!(script.dispatch(), "0 1");
    script.engine.pause(1, true);
    script.fail(0);
    script.pass(SECOND);
    assert!(script.progress(1).paused.load(Relaxed));
    assert_eq!(script.dispatch(), "");
    script.fail(1);
    script.engine.pause(1, false);
    assert!(script.progress(1).paused.load(Relaxed));
    assert_eq!(script.dispatch(), "");
    script.pass(SECOND);
    assert!(!script.progress(1).paused.load(Relaxed));
    assert_eq!(script.dispatch(), "1#2 0#2");
}
