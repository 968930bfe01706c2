use std::{collections::BTreeMap, mem};

use crate::{
    consume::summary::{Summary, Undone},
    record::chunk::Origin,
};

/// How many records are named as left undone.
const MOST: usize = 10_000;

/// What was begun and is not complete, of lanes that are no more.
#[derive(Debug, Default)]
pub(super) struct LeftUndone(BTreeMap<(String, i32, i64), Undone>);

impl LeftUndone {
    pub(super) fn add(&mut self, origin: &Origin, offset: i64, why: Undone) {
        if self.0.len() < MOST {
            let place = (origin.topic.as_ref().to_owned(), origin.partition, offset);
            self.0.insert(place, why);
        }
    }

    /// What lies before a committed offset was done meanwhile, by whomever.
    pub(super) fn is_committed(&mut self, topic: &str, partition: i32, committed: i64) {
        self.0.retain(|(of, number, offset), _| {
            (of.as_str(), *number) != (topic, partition) || *offset >= committed
        });
    }

    /// All of it, but for what a later lane has made good, by the committed offsets of the summary.
    pub(super) fn take(&mut self, summary: &Summary) -> Vec<(String, i32, i64, Undone)> {
        for ((topic, partition), committed) in &summary.committed {
            self.is_committed(topic, *partition, *committed);
        }
        let undone = mem::take(&mut self.0).into_iter();
        undone
            .map(|((topic, partition, offset), why)| (topic, partition, offset, why))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Lease;

    fn of(partition: i32) -> Origin {
        Origin::new("t".into(), partition, Lease::new(0))
    }

    fn offsets(undone: Vec<(String, i32, i64, Undone)>) -> Vec<(i32, i64)> {
        let places = undone.into_iter();
        places
            .map(|(_, partition, offset, _)| (partition, offset))
            .collect()
    }

    #[test]
    fn what_others_have_done_makes_room() {
        let mut left = LeftUndone::default();
        for offset in 0..20_000 {
            left.add(&of(0), offset, Undone::Cancelled);
        }
        left.is_committed("u", 0, 15_000);
        left.is_committed("t", 1, 15_000);
        left.add(&of(1), 7, Undone::Lost);
        left.is_committed("t", 0, 9_998);
        left.add(&of(1), 8, Undone::Lost);
        let undone = offsets(left.take(&Summary::default()));
        assert_eq!(undone, [(0, 9_998), (0, 9_999), (1, 8)]);
    }

    #[test]
    fn what_was_made_good_is_not_named() {
        let mut left = LeftUndone::default();
        for offset in [3, 5, 7] {
            left.add(&of(0), offset, Undone::Waiting);
            left.add(&of(1), offset, Undone::Waiting);
        }
        let mut summary = Summary::default();
        summary.committed.insert(("t".into(), 0), 5);
        let undone = offsets(left.take(&summary));
        assert_eq!(undone, [(0, 5), (0, 7), (1, 3), (1, 5), (1, 7)]);
    }
}
