use std::{collections::VecDeque, mem};

/// Which of a lane's records are complete, in the order of their arrival.
///
/// A ring that is indexed by arrival, not by offset: gaps in the offsets, of compaction or of
/// transactions, cost nothing.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    ring: Ring,
    /// The number of the ring's first entry.
    first: u64,
    watermark: Option<i64>,
    /// What the group had committed before.
    start: Option<i64>,
}

pub(super) type Ring = VecDeque<Entry>;

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    offset: i64,
    /// Not a record: there is none at this offset yet.
    is_end: bool,
    complete: bool,
}

impl Entry {
    /// Where to go on when this entry and all before it are complete.
    fn next(&self) -> i64 {
        self.offset + i64::from(!self.is_end)
    }
}

impl Tracker {
    pub(super) fn new(start: Option<i64>) -> Self {
        Self {
            start,
            ..Self::default()
        }
    }

    /// A record arrived; the result is its number.
    pub(super) fn arrive(&mut self, offset: i64) -> u64 {
        self.ring.push_back(Entry {
            offset,
            is_end: false,
            complete: false,
        });
        self.first + self.ring.len() as u64 - 1
    }

    /// The partition ends at `offset`: when all before is complete, the watermark goes there, past
    /// whatever the last record is followed by. Whether the watermark moved.
    pub(super) fn end(&mut self, offset: i64) -> bool {
        let last = self.ring.back().map(Entry::next);
        let last = last.or(self.watermark).or(self.start).unwrap_or(0);
        if last >= offset {
            return false;
        }
        self.ring.push_back(Entry {
            offset,
            is_end: true,
            complete: true,
        });
        self.advance()
    }

    /// Completes a record; whether the watermark moved.
    pub(super) fn complete(&mut self, number: u64) -> bool {
        let index = usize::try_from(number - self.first).expect("a ring in memory");
        self.ring[index].complete = true;
        index == 0 && self.advance()
    }

    fn advance(&mut self) -> bool {
        let before = self.first;
        while let Some(entry) = self.ring.front().filter(|entry| entry.complete) {
            self.watermark = Some(entry.next());
            self.ring.pop_front();
            self.first += 1;
        }
        self.first > before
    }

    /// The offset to resume from when everything that is complete is left out.
    pub(super) fn watermark(&self) -> Option<i64> {
        self.watermark
    }

    /// Whether nothing is incomplete.
    pub(super) fn is_idle(&self) -> bool {
        self.ring.is_empty()
    }

    /// Whether there is memory for records.
    pub(super) fn has_room(&self) -> bool {
        self.ring.capacity() > 0
    }

    /// An empty ring, for its memory.
    pub(super) fn set_ring(&mut self, ring: Ring) {
        self.ring = ring;
    }

    /// The ring of a tracker that is idle.
    pub(super) fn take_ring(&mut self) -> Ring {
        mem::take(&mut self.ring)
    }

    /// From the oldest incomplete record to `offset`.
    pub(super) fn span_to(&self, offset: i64) -> u64 {
        self.ring
            .front()
            .map_or(0, |oldest| offset.abs_diff(oldest.offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_waits_for_the_oldest() {
        let mut tracker = Tracker::default();
        let numbers = [5, 6, 9].map(|offset| tracker.arrive(offset));
        assert!(!tracker.complete(numbers[1]));
        assert_eq!(tracker.watermark(), None);
        assert_eq!(tracker.span_to(9), 4);
        assert!(tracker.complete(numbers[0]));
        assert_eq!(tracker.watermark(), Some(7));
        assert!(tracker.complete(numbers[2]));
        assert_eq!(tracker.watermark(), Some(10));
        assert_eq!(tracker.span_to(100), 0);
    }

    #[test]
    fn the_end_of_a_partition_lies_behind_what_its_last_record_is_followed_by() {
        let mut tracker = Tracker::default();
        assert!(!tracker.end(0), "an empty partition");
        assert_eq!(tracker.watermark(), None);
        let number = tracker.arrive(3);
        tracker.end(8);
        assert_eq!(tracker.watermark(), None);
        tracker.complete(number);
        assert_eq!(tracker.watermark(), Some(8));
        tracker.end(8);
        tracker.end(5);
        assert_eq!(tracker.watermark(), Some(8), "stale ends change nothing");
        let number = tracker.arrive(8);
        tracker.complete(number);
        assert_eq!(tracker.watermark(), Some(9));
    }

    #[test]
    fn a_rest_without_records_is_passed() {
        let mut tracker = Tracker::new(Some(5));
        assert!(!tracker.end(5));
        assert!(tracker.end(9));
        assert_eq!(tracker.watermark(), Some(9));
    }

    #[test]
    fn a_partition_that_goes_back_takes_its_watermark_along() {
        let mut tracker = Tracker::default();
        let number = tracker.arrive(100);
        tracker.complete(number);
        let number = tracker.arrive(3);
        tracker.complete(number);
        assert_eq!(tracker.watermark(), Some(4));
    }
}
