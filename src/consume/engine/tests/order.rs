use super::*;

#[test]
fn a_running_key_holds_up_itself_only() {
    let mut script = Script::one(bounds());
    script.arrive(1, "0a 1a 2b 3a 4 5b");
    assert_eq!(script.dispatch(), "0 2 4");
    assert_eq!(script.progress(1).waiting.load(Relaxed), 3);
    script.ack(2);
    assert_eq!(script.dispatch(), "5");
    script.ack(0);
    assert_eq!(script.dispatch(), "1");
    assert_eq!(script.watermark(1), Some(1));
    script.ack(1);
    assert_eq!(script.dispatch(), "3");
    assert_eq!(script.watermark(1), Some(3));
    for offset in [3, 4, 5] {
        script.ack(offset);
    }
    assert_eq!(script.watermark(1), Some(6));
    assert!(!script.progress(1).holds_any() || script.dispatch().is_empty());
    assert!(!script.progress(1).holds_any());
}

#[test]
fn a_parked_key_holds_up_itself_only() {
    let mut script = Script::one(bounds());
    script.arrive(1, "0a 1a 2b");
    assert_eq!(script.dispatch(), "0 2");
    script.retry(0, SECOND);
    script.arrive(1, "3a 4b 5c");
    assert_eq!(script.dispatch(), "5");
    script.ack(2);
    assert_eq!(script.dispatch(), "4");
    script.pass(SECOND);
    assert_eq!(script.dispatch(), "0#2");
    script.ack(0);
    assert_eq!(script.dispatch(), "1");
    script.defer(1, SECOND);
    assert_eq!(script.dispatch(), "");
    script.pass(SECOND);
    assert_eq!(script.dispatch(), "1");
    script.ack(1);
    assert_eq!(script.dispatch(), "3");
}

#[test]
fn records_without_a_key_wait_for_nothing() {
    let mut script = Script::one(bounds());
    script.arrive(1, "0 1 2a 3");
    assert_eq!(script.dispatch(), "0 1 2 3");
}

#[test]
fn equal_keys_of_two_lanes_are_two_keys() {
    let mut script = Script::one(bounds());
    let other = script.lane();
    script.arrive(1, "0a 1a");
    script.arrive(other, "10a 11a");
    assert_eq!(script.dispatch(), "0 10");
}

#[test]
fn a_partition_goes_one_by_one_past_every_wait() {
    let mut script = Script::one(by(Ordering::Partition));
    let other = script.lane();
    script.arrive(1, "0a 1b 2");
    script.arrive(other, "10 11");
    assert_eq!(script.dispatch(), "0 10", "lanes are side by side");
    script.retry(0, SECOND);
    assert_eq!(script.dispatch(), "");
    script.pass(SECOND);
    assert_eq!(script.dispatch(), "0#2");
    assert_eq!(script.dispatch(), "");
    script.ack(0);
    assert_eq!(script.dispatch(), "1");
    script.ack(1);
    assert_eq!(script.dispatch(), "2");
    script.ack(10);
    assert_eq!(script.dispatch(), "11");
}

#[test]
fn unordered_records_wait_for_nothing() {
    let mut script = Script::one(by(Ordering::Unordered));
    script.arrive(1, "0a 1a 2a");
    assert_eq!(script.dispatch(), "0 1 2");
    script.retry(1, SECOND);
    script.arrive(1, "3a");
    assert_eq!(script.dispatch(), "3");
    script.ack(0);
    script.ack(2);
    assert_eq!(script.watermark(1), Some(1));
    script.pass(SECOND);
    assert_eq!(script.dispatch(), "1#2");
    script.ack(1);
    assert_eq!(script.watermark(1), Some(3));
}

#[test]
fn what_a_service_is_not_ready_for_stays_the_next() {
    let mut script = Script::one(bounds());
    script.arrive(1, "0a 1b 2a");
    let place = script.engine.next_lane().expect("a lane");
    let dispatch = script.engine.take(place).expect("a record");
    script.engine.put_back(dispatch, true);
    assert!(script.engine.take(place).is_none());
    script.arrive(1, "3b");
    assert_eq!(script.dispatch(), "", "nothing else of the lane either");
    assert_eq!(script.progress(1).begun(), None);
    script.engine.service_ready(place);
    assert_eq!(script.dispatch(), "0 1");
}

#[test]
fn what_waited_is_put_back_before_what_arrived() {
    let mut script = Script::one(bounds());
    script.arrive(1, "0a 1a 2b");
    assert_eq!(script.dispatch(), "0 2");
    script.ack(0);
    script.arrive(1, "3a 4c");
    let place = script.engine.next_lane().expect("a lane");
    let dispatch = script.engine.take(place).expect("a record");
    assert_eq!(dispatch.record.offset(), 1);
    script.engine.put_back(dispatch, true);
    script.engine.service_ready(place);
    assert_eq!(script.dispatch(), "1 4");
    assert_eq!(script.close(1), [], "what runs isn't known to be undone");
}

#[test]
fn what_is_put_back_comes_before_what_is_due_as_well() {
    let mut script = Script::one(bounds());
    script.arrive(1, "0a 1b");
    assert_eq!(script.dispatch(), "0 1");
    script.defer(0, SECOND);
    script.defer(1, SECOND);
    script.pass(SECOND);
    let place = script.engine.next_lane().expect("a lane");
    let dispatch = script.engine.take(place).expect("a record");
    script.engine.put_back(dispatch, true);
    script.engine.service_ready(place);
    assert_eq!(script.dispatch(), "0 1");
}

#[test]
fn gaps_in_the_offsets_hold_up_nothing() {
    let mut script = Script::one(bounds());
    script.arrive(1, "3a 7b");
    script.arrive(1, "20a 21c");
    assert_eq!(script.dispatch(), "3 7 21");
    script.ack(21);
    script.ack(7);
    assert_eq!(script.watermark(1), None);
    script.ack(3);
    assert_eq!(script.watermark(1), Some(8));
    assert_eq!(script.dispatch(), "20");
    script.ack(20);
    assert_eq!(script.watermark(1), Some(22));
}

#[test]
fn a_partition_that_goes_back_is_told_and_handled_again() {
    let mut script = Script::one(bounds());
    script.arrive(1, "5 6");
    assert_eq!(script.dispatch(), "5 6");
    script.ack(5);
    script.ack(6);
    script.arrive(1, "6 7");
    assert_eq!(script.dispatch(), "6 7");
    assert_eq!(script.news(), ["1 went back from 6 to 6"]);
    script.ack(7);
    assert_eq!(script.watermark(1), Some(7));
    script.ack(6);
    assert_eq!(script.watermark(1), Some(8));
}
