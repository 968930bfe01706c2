use super::*;

#[test]
fn a_completion_after_the_partition_came_back_changes_nothing() {
    let mut script = Script::one(bounds());
    script.arrive(1, "0a 1a 2b");
    assert_eq!(script.dispatch(), "0 2");
    script.engine.stop(1);
    assert_eq!(script.close(1), []);
    let again = script.lane();
    assert_eq!(script.engine.index(again), Some(0), "in the same place");
    script.arrive(again, "0a 1a 2b");
    assert_eq!(script.dispatch(), "0 2");
    script.news();

    script.ack(0);
    script.retry(2, SECOND);
    assert_eq!(script.counts.stale.get(), 2);
    assert_eq!(
        (script.counts.acked.get(), script.counts.retried.get()),
        (0, 0)
    );
    assert_eq!(script.watermark(again), None);
    assert_eq!(script.attempts(again), []);
    assert_eq!(script.dispatch(), "", "the key is still busy");
    assert_eq!(script.engine.next_due(), None);
    assert_eq!(script.news(), [""; 0]);

    script.ack(0);
    script.ack(2);
    assert_eq!(script.watermark(again), Some(1));
    assert_eq!(script.counts.acked.get(), 2);
    assert_eq!(script.dispatch(), "1");
}

#[test]
fn a_failure_after_the_partition_left_stops_nobody() {
    let mut script = Script::one(bounds());
    let stays = script.lane();
    script.arrive(1, "0");
    assert_eq!(script.dispatch(), "0");
    script.close(1);
    script.news();
    script.fail(0);
    assert_eq!(script.news(), [""; 0]);
    script.arrive(stays, "10");
    assert_eq!(script.dispatch(), "10");
}

#[test]
fn a_late_completion_gives_its_room_back() {
    let mut script = Script::one(Bounds {
        max_in_flight: 1,
        ..bounds()
    });
    script.arrive(1, "0");
    assert_eq!(script.dispatch(), "0");
    script.close(1);
    let other = script.lane();
    script.arrive(other, "10 11");
    assert_eq!(script.dispatch(), "");
    script.ack(0);
    assert_eq!(script.dispatch(), "10");
}

#[test]
fn what_is_parked_is_dropped_at_once() {
    let mut script = Script::one(bounds());
    let stays = script.lane();
    script.arrive(1, "0a 1a 2b 3c");
    script.arrive(stays, "10a");
    assert_eq!(script.dispatch(), "0 2 3 10");
    script.retry(0, SECOND);
    script.defer(2, SECOND);
    script.retry(10, SECOND);
    script.ack(3);
    script.engine.stop(1);
    assert_eq!(script.news(), ["1 drained"]);
    script.engine.stop(1);
    assert_eq!(script.news(), [""; 0], "once");
    assert_eq!(script.attempts(1), [(0, 1)], "to be written down");
    assert_eq!(script.watermark(1), None);
    script.pass(SECOND);
    assert_eq!(script.dispatch(), "10#2", "others are untouched");
    let waiting = [(0, Undone::Waiting), (2, Undone::Waiting)];
    assert_eq!(script.close(1), waiting, "1 was never begun");
}

#[test]
fn a_lost_partition_is_forgotten_at_once() {
    let mut script = Script::one(bounds());
    let stays = script.lane();
    script.arrive(1, "0a 1a 2b 3c");
    script.arrive(stays, "10a");
    assert_eq!(script.dispatch(), "0 2 3 10");
    script.retry(3, SECOND);
    let progress = script.progress(1);
    script.cancel(1, Undone::Lost);
    let mut undone = script.close(1);
    undone.sort_by_key(|(offset, _)| *offset);
    let lost = [(0, Undone::Lost), (2, Undone::Lost), (3, Undone::Waiting)];
    assert_eq!(undone, lost);
    assert_eq!(progress.watermark(), None);
    assert!(script.engine.close(1).is_none());
    assert_eq!(script.engine.next_due(), None);
    script.arrive(1, "4d");
    script.end(1, 5);
    script.engine.grant(1);
    script.engine.pause(1, false);
    assert_eq!(script.dispatch(), "");
    script.ack(10);
    assert_eq!(script.watermark(stays), Some(11));
}

#[test]
fn a_listed_lane_may_be_closed() {
    let mut script = Script::one(bounds());
    script.arrive(1, "0");
    script.close(1);
    let other = script.lane();
    assert_eq!(script.dispatch(), "");
    script.arrive(other, "10");
    assert_eq!(script.dispatch(), "10");
}

#[test]
fn stopping_all_ends_every_backoff() {
    let mut script = Script::one(bounds());
    let other = script.lane();
    script.arrive(1, "0a 1b");
    script.arrive(other, "10a");
    assert_eq!(script.dispatch(), "0 1 10");
    script.retry(0, 3600 * SECOND);
    script.retry(10, 3600 * SECOND);
    script.engine.stop_all();
    assert_eq!(script.news(), ["2 drained"]);
    assert_eq!(script.engine.next_due(), None);
    script.ack(1);
    assert_eq!(script.news(), ["1 drained"]);
    assert_eq!(script.close(1), [(0, Undone::Waiting)]);
    assert_eq!(script.close(other), [(10, Undone::Waiting)]);
}

#[test]
fn what_outlives_the_drain_is_cancelled_and_its_attempt_counts() {
    let mut script = Script::one(bounds());
    script.arrive(1, "0a 1b 2c");
    assert_eq!(script.dispatch(), "0 1 2");
    script.retry(1, Duration::ZERO);
    script.pass(Duration::ZERO);
    assert_eq!(script.dispatch(), "1#2");
    script.engine.stop(1);
    script.ack(2);
    assert_eq!(script.news(), [""; 0]);
    script.cancel(1, Undone::Cancelled);
    assert_eq!(script.news(), ["1 drained"]);
    assert_eq!(script.attempts(1), [(0, 1), (1, 2)]);
    assert_eq!(script.watermark(1), None);
    let cancelled = [(0, Undone::Cancelled), (1, Undone::Cancelled)];
    assert_eq!(script.close(1), cancelled);
}

#[test]
fn what_runs_may_end_and_counts() {
    let mut script = Script::one(bounds());
    script.arrive(1, "0a 1a 2b 3c 4d");
    assert_eq!(script.dispatch(), "0 2 3 4");
    script.engine.stop(1);
    script.arrive(1, "5e");
    script.end(1, 9);
    assert_eq!(script.dispatch(), "");
    script.ack(0);
    assert_eq!(script.watermark(1), Some(1));
    assert_eq!(script.dispatch(), "", "nor what waited for the key");
    script.retry(2, Duration::ZERO);
    script.defer(3, Duration::ZERO);
    script.pass(SECOND);
    assert_eq!(script.dispatch(), "");
    assert_eq!(script.news(), [""; 0]);
    script.ack(4);
    assert_eq!(script.news(), ["1 drained"]);
    assert_eq!(script.watermark(1), Some(1));
    assert_eq!(script.attempts(1), [(2, 1)]);
    let waiting = [(2, Undone::Waiting), (3, Undone::Waiting)];
    assert_eq!(script.close(1), waiting);
}

#[test]
fn what_was_due_and_not_dispatched_is_dropped_too() {
    let mut script = Script::one(bounds());
    script.arrive(1, "0a 1b");
    assert_eq!(script.dispatch(), "0 1");
    script.retry(0, SECOND);
    script.pass(SECOND);
    script.arrive(1, "2c");
    script.engine.stop(1);
    assert_eq!(script.dispatch(), "");
    assert_eq!(script.news(), [""; 0], "one is running");
    script.ack(1);
    assert_eq!(script.news(), ["1 drained"]);
    assert_eq!(script.close(1), [(0, Undone::Waiting)]);
}
