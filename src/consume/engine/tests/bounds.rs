use super::*;

#[test]
fn so_many_are_in_flight_over_all_lanes() {
    let mut script = Script::one(Bounds {
        max_in_flight: 3,
        ..bounds()
    });
    let other = script.lane();
    script.arrive(1, "0 1");
    script.arrive(other, "10 11");
    assert_eq!(script.dispatch(), "0 1 10");
    assert!(!script.engine.has_room());
    assert_eq!(script.progress(1).running.load(Relaxed), 2);
    script.ack(0);
    assert_eq!(script.dispatch(), "11");
    script.arrive(1, "2 3");
    assert_eq!(script.dispatch(), "");
    script.retry(1, SECOND);
    assert_eq!(script.dispatch(), "2", "what is parked is not in flight");
    script.cancel(1, Undone::Cancelled);
    assert_eq!(script.dispatch(), "3");
}

#[test]
fn calls_that_end_at_once_are_not_in_flight() {
    let mut script = Script::one(Bounds {
        max_in_flight: 1,
        ..bounds()
    });
    script.arrive(1, "0a 1a 2b");
    let place = script.engine.next_lane().expect("a lane");
    for offset in 0..3 {
        let mut dispatch = script.engine.take(place).expect("a record");
        assert_eq!(dispatch.record.offset(), offset);
        script.engine.begin(&mut dispatch);
        script.engine.finish(dispatch, Ok(Outcome::Ack), script.now);
    }
    assert_eq!(script.watermark(1), Some(3));
}

#[test]
fn so_many_wait_in_a_lane() {
    let mut script = Script::one(Bounds {
        max_waiting: 2,
        ..bounds()
    });
    let other = script.lane();
    script.arrive(1, "0a 1b 2a 3c");
    assert_eq!(script.dispatch(), "0 1 3");
    script.retry(1, SECOND);
    script.arrive(1, "4d");
    script.arrive(other, "10");
    assert_eq!(
        script.dispatch(),
        "10",
        "one is parked, one waits for its key"
    );
    assert_eq!(script.progress(1).waiting.load(Relaxed), 2);
    script.ack(0);
    assert_eq!(script.dispatch(), "2 4");
    script.retry(2, 2 * SECOND);
    script.arrive(1, "5e");
    assert_eq!(script.dispatch(), "");
    script.pass(SECOND);
    assert_eq!(script.dispatch(), "1#2 5");
}

#[test]
fn a_lane_runs_so_far_ahead_of_its_oldest() {
    let mut script = Script::one(Bounds {
        max_offset_span: 10,
        ..bounds()
    });
    let other = script.lane();
    script.arrive(1, "0a 5b 9c 10d 11e");
    script.arrive(other, "100 105");
    assert_eq!(script.dispatch(), "0 5 9 10 100 105");
    for offset in [5, 9, 10] {
        script.ack(offset);
        assert_eq!(script.dispatch(), "");
    }
    assert_eq!(script.progress(1).unread.load(Relaxed), 5);
    script.ack(0);
    assert_eq!(script.dispatch(), "11");
    assert_eq!(script.progress(1).unread.load(Relaxed), 0);
}

#[test]
fn a_parked_record_bounds_the_span_too() {
    let mut script = Script::one(Bounds {
        max_offset_span: 2,
        ..bounds()
    });
    script.arrive(1, "0a 1b 2c 3d");
    assert_eq!(script.dispatch(), "0 1 2");
    script.retry(0, SECOND);
    script.ack(1);
    script.ack(2);
    assert_eq!(script.dispatch(), "");
    script.pass(SECOND);
    assert_eq!(script.dispatch(), "0#2");
    script.ack(0);
    assert_eq!(script.dispatch(), "3");
}
