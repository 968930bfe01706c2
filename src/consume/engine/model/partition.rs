use std::{collections::BTreeSet, sync::Arc};

use super::{
    told::{Ends, Trials},
    *,
};
use crate::consume::engine::{Caution, Opening, Progress};

/// A partition of the broker, and what its lane is doing.
#[derive(Default)]
pub(super) struct Partition {
    log: Vec<(i64, Option<u8>)>,
    /// Where the log goes on.
    next: i64,
    end: Option<i64>,
    pub(super) generation: u64,
    pub(super) progress: Arc<Progress>,
    pub(super) stopped: bool,
    start: Option<i64>,
    /// Of the lane: the records from `start` on.
    records: Vec<Record>,
    paused_to: Option<Moment>,
    pub(super) trials: Trials,
    ends: Ends,
    undone: Vec<(i64, Undone)>,
    ever_complete: BTreeSet<i64>,
}

struct Record {
    offset: i64,
    key: Option<u8>,
    /// Attempts that were made.
    made: u32,
    begun: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Unseen,
    /// Taken, or put back.
    Held,
    Runs,
    Parked(Moment),
    Due,
    Complete,
    Left,
}

impl Partition {
    pub(super) fn open(
        &mut self,
        generation: u64,
        caution: Option<Ahead>,
    ) -> (Opening, Vec<ConsumerRecord>, Option<i64>) {
        let committed = self.progress.watermark().or(self.start);
        let mut attempts = self.progress.attempts().made;
        if let Some(committed) = committed {
            attempts = attempts.split_off(&committed);
        }
        let base = committed.unwrap_or(0);
        let caution = caution.map(|(ahead, length, rest)| {
            let singly = (base + ahead, base + ahead + length);
            (singly, singly.1 + rest)
        });
        self.trials = Trials::new(caution.map(|(_, until)| until));
        self.ends = Ends::default();
        if let Some(end) = self.end {
            self.ends.arrive(end);
        }
        self.generation = generation;
        self.start = committed;
        self.progress = Arc::new(Progress::new(attempts.clone()));
        (self.stopped, self.paused_to) = (false, None);
        let log = self.log.iter().filter(|(offset, _)| *offset >= base);
        let records = log.map(|&(offset, key)| Record {
            offset,
            key,
            made: attempts.get(&offset).copied().unwrap_or(0),
            begun: false,
            state: State::Unseen,
        });
        self.records = records.collect();
        let opening = Opening {
            progress: Arc::clone(&self.progress),
            start: committed,
            caution: caution.map(|(singly, until)| Caution::new(singly, until)),
            gated: true,
        };
        let records = self.records.iter().map(|r| record(r.offset, r.key));
        (opening, records.collect(), self.end)
    }

    pub(super) fn append(&mut self, records: &[(i64, u8)]) -> Vec<ConsumerRecord> {
        let appended = records.iter().map(|&(gap, key)| {
            let offset = self.next + gap;
            self.next = offset + 1;
            let key = (key < 3).then_some(key);
            self.log.push((offset, key));
            if !self.stopped {
                self.records.push(Record {
                    offset,
                    key,
                    made: 0,
                    begun: false,
                    state: State::Unseen,
                });
            }
            record(offset, key)
        });
        let appended = appended.collect();
        self.end = None;
        appended
    }

    pub(super) fn append_end(&mut self, gap: i64) -> i64 {
        self.next += gap;
        self.end = Some(self.next);
        if !self.stopped {
            self.ends.arrive(self.next);
        }
        self.next
    }

    fn at(&mut self, offset: i64) -> &mut Record {
        let index = self.records.binary_search_by_key(&offset, |r| r.offset);
        &mut self.records[index.expect("a record that arrived")]
    }

    fn waiting(&self) -> usize {
        self.progress.waiting.load(Relaxed)
    }

    /// The engine gave this one: may it?
    pub(super) fn taken(&mut self, record: &ConsumerRecord, bounds: &Bounds) {
        let offset = record.offset();
        assert!(!self.stopped, "{offset} of a stopped lane");
        assert_eq!(self.paused_to, None, "{offset} of a lane that pauses");
        let index = self.records.partition_point(|r| r.offset < offset);
        let (before, from) = self.records.split_at(index);
        let this = &from[0];
        assert_eq!(record.attempt(), this.made + 1, "attempt at {offset}");
        let fresh = match this.state {
            State::Unseen => true,
            State::Held | State::Due => false,
            state => panic!("{offset} is {state:?}"),
        };
        for earlier in before.iter().filter(|r| r.state != State::Complete) {
            let alike = match bounds.ordering {
                Ordering::Key => earlier.key.is_some() && earlier.key == this.key,
                Ordering::Partition => true,
                Ordering::Unordered => false,
            };
            assert!(!alike, "{offset} before {}", earlier.offset);
        }
        if fresh && bounds.ordering != Ordering::Key {
            // What is to be tried with care may have been read when there was room, and kept back.
            if self.trials.until.is_none() {
                assert!(self.waiting() < bounds.max_waiting);
            }
            let oldest = before.iter().find(|r| r.state != State::Complete);
            if let (Some(oldest), Some(last)) = (oldest, before.last()) {
                assert!(last.offset.abs_diff(oldest.offset) < bounds.max_offset_span);
            }
        }
        self.trials.take(offset, self.in_state(State::Runs));
        self.at(offset).state = State::Held;
    }

    pub(super) fn begin(&mut self, offset: i64) {
        let record = self.at(offset);
        (record.state, record.begun) = (State::Runs, true);
    }

    pub(super) fn complete(&mut self, offset: i64) {
        self.at(offset).state = State::Complete;
        self.ever_complete.insert(offset);
    }

    pub(super) fn park(&mut self, offset: i64, due: Moment, counts: bool) {
        let stopped = self.stopped;
        let record = self.at(offset);
        record.made += u32::from(counts);
        record.state = State::Parked(due);
        if stopped {
            record.state = State::Left;
            self.undone.push((offset, Undone::Waiting));
        }
        self.trials.put_off(offset);
    }

    pub(super) fn leave(&mut self, offset: i64, why: Undone, counts: bool) {
        let record = self.at(offset);
        record.state = State::Left;
        record.made += u32::from(counts);
        self.undone.push((offset, why));
    }

    pub(super) fn pause(&mut self, to: Moment) {
        if !self.stopped {
            self.paused_to = Some(to);
        }
    }

    pub(super) fn pass(&mut self, now: Moment) {
        self.paused_to.take_if(|to| *to <= now);
        for record in &mut self.records {
            if matches!(record.state, State::Parked(due) if due <= now) {
                record.state = State::Due;
            }
        }
    }

    pub(super) fn stop(&mut self) {
        self.stopped = true;
        for record in &mut self.records {
            match record.state {
                State::Parked(_) | State::Due | State::Held => {
                    record.state = State::Left;
                    if record.begun {
                        self.undone.push((record.offset, Undone::Waiting));
                    }
                }
                State::Unseen => record.state = State::Left,
                State::Runs | State::Complete | State::Left => {}
            }
        }
    }

    pub(super) fn closed(&mut self, mut undone: Vec<(i64, Undone)>) {
        let mut expected = std::mem::take(&mut self.undone);
        expected.sort_by_key(|(offset, _)| *offset);
        undone.sort_by_key(|(offset, _)| *offset);
        assert_eq!(undone, expected);
        let made = self.records.iter().filter_map(|r| {
            // Left running, it is counted only if it was before.
            let counts = r.state == State::Runs && self.trials.counts(r.offset);
            let made = r.made + u32::from(counts);
            (r.state != State::Complete && made > 0).then_some((r.offset, made))
        });
        assert_eq!(self.progress.attempts().made, made.collect());
    }

    /// The lane got to an end: everything before it was looked at.
    pub(super) fn tell_end(&mut self, end: i64) {
        self.ends.tell(end);
        let before = self.records.partition_point(|r| r.offset < end);
        for (index, record) in self.records[..before].iter().enumerate() {
            let alike = |r: &Record| r.key.is_some() && r.key == record.key;
            // It may wait behind its key.
            let was_seen = record.state != State::Unseen || self.records[..index].iter().any(alike);
            assert!(was_seen, "{} before the end {end}", record.offset);
        }
    }

    /// The lane waits for a trial to be written down.
    pub(super) fn tell_trial(&mut self) {
        assert_eq!(self.in_state(State::Runs), 0, "a trial beside what runs");
        let attempts = self.progress.attempts();
        let (from, to) = attempts.trial.expect("a trial");
        self.trials.ask((from, to));
        if to == from + 1 {
            let made = attempts.made.get(&from).copied();
            assert_eq!(made, Some(self.at(from).made + 1), "counted beforehand");
        }
    }

    pub(super) fn in_state(&self, state: State) -> usize {
        let wanted = self.records.iter().filter(|r| r.state == state);
        wanted.count()
    }

    pub(super) fn check(&self, bounds: &Bounds) {
        let incomplete = |r: &&Record| r.state != State::Complete;
        let oldest = self.records.iter().find(incomplete).map(|r| r.offset);
        let watermark = self.progress.watermark();
        assert!(
            oldest.is_none_or(|oldest| watermark.unwrap_or(0) <= oldest),
            "{watermark:?} above {oldest:?}"
        );
        let complete = self.records.iter().take_while(|r| !incomplete(r));
        if let Some(last) = complete.last() {
            assert!(watermark > Some(last.offset), "{watermark:?}");
        }
        assert_eq!(
            self.progress.running.load(Relaxed),
            self.in_state(State::Runs)
        );
        let parked = self.records.iter();
        let parked = parked.filter(|r| matches!(r.state, State::Parked(_)));
        let parked = parked.count();
        assert!(parked <= self.waiting() && self.waiting() - parked <= bounds.max_waiting);
    }

    pub(super) fn is_complete(&self) -> bool {
        let states = self.records.iter().map(|r| r.state);
        states.into_iter().all(|state| state == State::Complete)
    }

    pub(super) fn check_the_end(&self) {
        assert!(self.is_complete(), "something is stuck");
        assert!(self.ends.are_told());
        let all = self.log.iter().map(|(offset, _)| offset);
        assert!(all.eq(&self.ever_complete));
        let last = self.log.last().map(|(offset, _)| offset + 1);
        let end = self.end.or(last).filter(|end| *end > 0);
        let watermark = self.progress.watermark().or(self.start);
        assert_eq!(watermark, end);
        assert_eq!(self.waiting(), 0);
        assert!(!self.progress.holds_any());
    }
}

fn record(offset: i64, key: Option<u8>) -> ConsumerRecord {
    let builder = ConsumerRecord::builder("t", 0, offset);
    match key {
        Some(key) => builder.key(vec![key]).build(),
        None => builder.build(),
    }
}
