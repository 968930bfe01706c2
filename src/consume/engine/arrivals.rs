use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
    vec,
};

use crate::record::ConsumerRecord;

/// What arrived in a lane and wasn't looked at yet.
#[derive(Debug, Default)]
pub(super) struct Arrivals(VecDeque<Arrival>);

#[derive(Debug)]
enum Arrival {
    Records(vec::IntoIter<ConsumerRecord>, usize),
    End(i64),
}

/// What comes next of it.
pub(super) enum Next {
    Record(ConsumerRecord),
    End(i64),
}

impl Arrivals {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, records: Vec<ConsumerRecord>) {
        let count = records.len();
        self.0
            .push_back(Arrival::Records(records.into_iter(), count));
    }

    pub(super) fn add_end(&mut self, offset: i64) {
        self.0.push_back(Arrival::End(offset));
    }

    /// Takes the next. Records that arrived together are no longer `unread` once all are taken.
    pub(super) fn next(&mut self, unread: &AtomicUsize) -> Option<Next> {
        loop {
            match self.0.front_mut()? {
                Arrival::Records(records, count) => {
                    if let Some(record) = records.next() {
                        return Some(Next::Record(record));
                    }
                    unread.fetch_sub(*count, Ordering::SeqCst);
                    self.0.pop_front();
                }
                Arrival::End(offset) => {
                    let offset = *offset;
                    self.0.pop_front();
                    return Some(Next::End(offset));
                }
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
