use super::*;

#[test]
fn the_watermark_gets_to_the_end_behind_all_records_only() {
    let mut script = Script::one(bounds());
    script.arrive(1, "0 1");
    script.end(1, 5);
    assert_eq!(script.dispatch(), "0 1");
    assert_eq!(script.news(), ["1 ends at 5"]);
    script.ack(1);
    assert_eq!(script.watermark(1), None);
    script.ack(0);
    assert_eq!(script.watermark(1), Some(5));
}

#[test]
fn an_end_waits_for_what_arrived_before() {
    let mut script = Script::one(by(Ordering::Partition));
    script.arrive(1, "0 1");
    script.end(1, 3);
    assert_eq!(script.dispatch(), "0");
    script.ack(0);
    assert_eq!(script.watermark(1), Some(1));
    assert_eq!(script.dispatch(), "1");
    assert_eq!(script.news(), [""; 0]);
    script.ack(1);
    assert_eq!(script.dispatch(), "");
    assert_eq!(script.watermark(1), Some(3));
    assert_eq!(script.news(), ["1 ends at 3"]);
}

#[test]
fn ends_that_are_known_or_outdated_change_nothing() {
    let mut script = Script::one(bounds());
    script.arrive(1, "0");
    script.end(1, 4);
    assert_eq!(script.dispatch(), "0");
    script.ack(0);
    assert_eq!(script.watermark(1), Some(4));
    script.news();
    for known in [4, 3, 0] {
        script.end(1, known);
        assert_eq!(script.dispatch(), "");
    }
    assert_eq!(script.watermark(1), Some(4));
    assert_eq!(script.news(), [""; 0]);
    script.arrive(1, "4");
    script.end(1, 6);
    assert_eq!(script.dispatch(), "4");
    script.ack(4);
    assert_eq!(script.watermark(1), Some(6));
    assert_eq!(script.news(), ["1 ends at 6"]);
}

#[test]
fn an_empty_partition_has_nothing_to_commit() {
    let mut script = Script::one(bounds());
    script.end(1, 0);
    assert_eq!(script.dispatch(), "");
    assert_eq!(script.watermark(1), None);
    assert_eq!(script.news(), ["1 ends at 0"]);

    let read_before = script.open(Opening {
        start: Some(7),
        ..Opening::default()
    });
    script.end(read_before, 7);
    assert_eq!(script.dispatch(), "");
    assert_eq!(script.watermark(read_before), None);
}

#[test]
fn an_aborted_tail_behind_what_was_committed_is_passed() {
    let mut script = Script::new(bounds());
    let lane = script.open(Opening {
        start: Some(7),
        ..Opening::default()
    });
    script.end(lane, 12);
    assert_eq!(script.dispatch(), "");
    assert_eq!(script.watermark(lane), Some(12));
}

#[test]
fn a_record_without_end_is_the_end_of_the_watermark() {
    let mut script = Script::one(bounds());
    script.arrive(1, "0a 1a");
    script.end(1, 5);
    assert_eq!(script.dispatch(), "0");
    script.ack(0);
    assert_eq!(script.watermark(1), Some(1));
    assert_eq!(script.dispatch(), "1");
    script.retry(1, SECOND);
    assert_eq!(script.watermark(1), Some(1));
    script.pass(SECOND);
    assert_eq!(script.dispatch(), "1#2");
    script.ack(1);
    assert_eq!(script.watermark(1), Some(5));
}
