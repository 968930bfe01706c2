use super::*;

/// A lane whose last owner ended without a word, with its gate open.
fn careful(script: &mut Script, singly: (i64, i64), until: i64) -> u64 {
    let lane = script.open(Opening {
        caution: Some(Caution::new(singly, until)),
        gated: true,
        ..Opening::default()
    });
    script.engine.grant(lane);
    lane
}

fn trial(script: &Script, lane: u64) -> Option<(i64, i64)> {
    script.progress(lane).attempts().trial
}

fn range(offsets: std::ops::Range<i64>) -> String {
    Vec::from_iter(offsets.map(|offset| offset.to_string())).join(" ")
}

#[test]
fn a_gated_lane_dispatches_nothing_before_it_may() {
    let mut script = Script::new(bounds());
    let lane = script.open(Opening {
        gated: true,
        ..Opening::default()
    });
    script.arrive(lane, "0 1");
    assert_eq!(script.dispatch(), "");
    script.engine.grant(lane);
    assert_eq!(script.dispatch(), "0 1");
}

#[test]
fn a_paused_lane_dispatches_nothing_and_lets_what_runs_end() {
    let mut script = Script::one(bounds());
    script.arrive(1, "0a 1a");
    assert_eq!(script.dispatch(), "0");
    script.engine.pause(1, true);
    assert!(script.progress(1).paused.load(Relaxed));
    script.ack(0);
    script.arrive(1, "2");
    assert_eq!(script.dispatch(), "");
    assert_eq!(script.watermark(1), Some(1));
    script.engine.pause(1, false);
    assert!(!script.progress(1).paused.load(Relaxed));
    assert_eq!(script.dispatch(), "1 2");
}

#[test]
fn a_stopped_trial_begins_nothing() {
    let mut script = Script::new(bounds());
    let lane = careful(&mut script, (0, 0), 10);
    script.arrive(lane, "0 1");
    script.dispatch();
    script.engine.stop(lane);
    script.engine.grant(lane);
    assert_eq!(script.dispatch(), "");
    assert_eq!(script.news(), ["1 asks", "1 drained"]);
    assert_eq!(script.close(lane), []);
}

#[test]
fn keys_keep_their_order_through_trials() {
    let mut script = Script::new(bounds());
    let lane = careful(&mut script, (0, 0), 10);
    script.arrive(lane, "0a 1a 2b");
    script.dispatch();
    script.engine.grant(lane);
    assert_eq!(script.dispatch(), "0 2");
    script.ack(2);
    script.ack(0);
    assert_eq!(script.dispatch(), "1");
}

#[test]
fn groups_are_written_down_before_they_begin() {
    let mut script = Script::new(Bounds {
        max_in_flight: 1000,
        max_offset_span: 1000,
        ..bounds()
    });
    let lane = careful(&mut script, (0, 0), 100);
    script.arrive(lane, &range(0..110));
    assert_eq!(script.dispatch(), "");
    assert_eq!(script.news(), ["1 asks"]);
    assert_eq!(trial(&script, lane), Some((0, 64)));
    script.arrive(lane, "110");
    assert_eq!(script.dispatch(), "", "not before it is granted");
    assert_eq!(script.news(), [""; 0], "it asks once");
    script.engine.grant(lane);
    assert_eq!(script.dispatch(), range(0..64));
    for offset in 0..63 {
        script.ack(offset);
        assert_eq!(script.dispatch(), "", "one group at a time");
    }
    assert_eq!(trial(&script, lane), Some((0, 64)));
    script.ack(63);
    assert_eq!(script.dispatch(), "");
    assert_eq!(script.news(), ["1 asks"]);
    assert_eq!(trial(&script, lane), Some((64, 128)));
    assert_eq!(script.attempts(lane), [], "who of them it was isn't known");
    script.engine.grant(lane);
    assert_eq!(script.dispatch(), range(64..100));
    for offset in 64..100 {
        script.ack(offset);
    }
    assert_eq!(
        script.dispatch(),
        range(100..111),
        "the rest was never begun"
    );
    assert_eq!(trial(&script, lane), None);
    assert_eq!(script.news(), [""; 0]);
}

#[test]
fn those_under_suspicion_go_one_by_one_and_count_beforehand() {
    let mut script = Script::new(bounds());
    let made = [(2, 1)].into();
    let lane = script.open(Opening {
        progress: Arc::new(Progress::new(made)),
        caution: Some(Caution::new((2, 4), 6)),
        ..Opening::default()
    });
    script.arrive(lane, "0 1 2 3 4 5 6");
    assert_eq!(script.dispatch(), "");
    assert_eq!(
        trial(&script, lane),
        Some((0, 2)),
        "up to the first of them"
    );
    script.engine.grant(lane);
    assert_eq!(script.dispatch(), "0 1");
    script.ack(0);
    script.ack(1);

    assert_eq!(script.dispatch(), "");
    assert_eq!(trial(&script, lane), Some((2, 3)));
    assert_eq!(script.attempts(lane), [(2, 2)]);
    script.engine.grant(lane);
    assert_eq!(script.dispatch(), "2#2");
    script.retry(2, SECOND);
    assert_eq!(script.attempts(lane), [(2, 2)], "the same attempt");

    assert_eq!(script.dispatch(), "", "while it waits the next is tried");
    assert_eq!(trial(&script, lane), Some((3, 4)));
    assert_eq!(script.attempts(lane), [(2, 2), (3, 1)]);
    script.engine.grant(lane);
    assert_eq!(script.dispatch(), "3");
    script.ack(3);
    script.pass(SECOND);
    assert_eq!(script.dispatch(), "");
    assert_eq!(trial(&script, lane), Some((4, 68)), "4 was in hand already");
    script.engine.grant(lane);
    assert_eq!(script.dispatch(), "4");
    script.ack(4);
    assert_eq!(script.dispatch(), "");
    assert_eq!(trial(&script, lane), Some((2, 3)), "again alone");
    assert_eq!(script.attempts(lane), [(2, 3)]);
    script.engine.grant(lane);
    assert_eq!(script.dispatch(), "2#3");
    script.ack(2);
    assert_eq!(script.attempts(lane), []);

    assert_eq!(script.dispatch(), "");
    assert_eq!(trial(&script, lane), Some((5, 69)));
    script.engine.grant(lane);
    assert_eq!(script.dispatch(), "5");
    script.ack(5);
    assert_eq!(script.dispatch(), "6");
    assert_eq!(trial(&script, lane), None);
    script.ack(6);
    assert_eq!(script.watermark(lane), Some(7));
}

#[test]
fn what_is_tried_alone_is_alone_to_the_end() {
    let mut script = Script::new(bounds());
    let lane = careful(&mut script, (3, 4), 4);
    script.arrive(lane, "3 4 5");
    script.dispatch();
    script.engine.grant(lane);
    assert_eq!(script.dispatch(), "3");
    assert_eq!(trial(&script, lane), Some((3, 4)));
    script.ack(3);
    assert_eq!(script.dispatch(), "4 5");
    assert_eq!(trial(&script, lane), None);
}

#[test]
fn a_trial_alone_that_never_began_is_no_attempt() {
    let mut script = Script::new(bounds());
    let made = [(2, 3)].into();
    let lane = script.open(Opening {
        progress: Arc::new(Progress::new(made)),
        caution: Some(Caution::new((2, 4), 4)),
        ..Opening::default()
    });
    script.arrive(lane, "2 3");
    assert_eq!(script.dispatch(), "");
    assert_eq!(script.attempts(lane), [(2, 4)], "counted beforehand");
    script.engine.stop(lane);
    assert_eq!(script.attempts(lane), [(2, 3)]);
    assert_eq!(script.close(lane), []);

    let lane = careful(&mut script, (2, 4), 4);
    script.arrive(lane, "2 3");
    assert_eq!(script.dispatch(), "");
    assert_eq!(script.attempts(lane), [(2, 1)]);
    script.engine.stop(lane);
    assert_eq!(script.attempts(lane), []);
}

#[test]
fn a_trial_that_began_is_an_attempt() {
    let mut script = Script::new(bounds());
    let lane = careful(&mut script, (2, 4), 4);
    script.arrive(lane, "2 3");
    script.dispatch();
    script.engine.grant(lane);
    assert_eq!(script.dispatch(), "2");
    script.engine.stop(lane);
    script.cancel(lane, Undone::Cancelled);
    assert_eq!(script.attempts(lane), [(2, 1)]);
    assert_eq!(script.close(lane), [(2, Undone::Cancelled)]);
}

#[test]
fn a_later_trial_that_never_began_leaves_the_attempts_before_it() {
    let mut script = Script::new(bounds());
    let lane = careful(&mut script, (2, 4), 4);
    script.arrive(lane, "2 3");
    script.dispatch();
    script.engine.grant(lane);
    assert_eq!(script.dispatch(), "2");
    script.retry(2, SECOND);
    script.dispatch();
    script.engine.grant(lane);
    assert_eq!(script.dispatch(), "3");
    script.pass(SECOND);
    script.ack(3);
    assert_eq!(script.dispatch(), "");
    assert_eq!(trial(&script, lane), Some((2, 3)));
    assert_eq!(script.attempts(lane), [(2, 2)], "counted beforehand");
    script.engine.stop(lane);
    assert_eq!(script.attempts(lane), [(2, 1)]);
    assert_eq!(script.close(lane), [(2, Undone::Waiting)]);
}

#[test]
fn a_trial_that_is_deferred_is_no_attempt_and_the_next_one_is_written_down() {
    let mut script = Script::new(bounds());
    let lane = careful(&mut script, (2, 3), 3);
    script.arrive(lane, "2");
    script.dispatch();
    script.engine.grant(lane);
    assert_eq!(script.dispatch(), "2");
    assert_eq!(script.attempts(lane), [(2, 1)]);
    script.defer(2, SECOND);
    assert_eq!(script.attempts(lane), []);
    for attempts in [1, 2] {
        script.pass(SECOND);
        assert_eq!(script.dispatch(), "", "it may kill the process now");
        assert_eq!(script.attempts(lane), [(2, attempts)]);
        script.engine.grant(lane);
        script.dispatch();
        script.retry(2, SECOND);
        assert_eq!(script.attempts(lane), [(2, attempts)]);
    }
    assert_eq!(script.news(), ["1 asks"; 3]);
}
