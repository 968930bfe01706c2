//! The failures of records that are back with the consumer, to be told when they are given up.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{backoff::LONGEST, error::Failures, record::RecordView};

/// How many records' failures are kept; of others only the number of attempts is known.
const RECORDS: usize = 10_000;
/// A record that is not back so long after it was due went elsewhere, with its partition.
const OVERDUE: Duration = Duration::from_secs(600);
/// A full ledger isn't searched more often than this.
const SWEEP: Duration = Duration::from_secs(1);

/// What is known of a record from its earlier attempts.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) failures: Failures,
    /// How often it was unavailable in a row.
    pub(super) waits: u32,
    /// The attempt that the record should come back as. Another one is of another life, before a
    /// rebalance.
    pub(super) next_attempt: u32,
}

/// All accounts, by the place of their record.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    topics: HashMap<Box<str>, HashMap<(i32, i64), (Account, Instant)>>,
    records: usize,
    swept: Option<Instant>,
}

impl Ledger {
    /// Takes out the account of a record; an empty one for what is unknown.
    pub(super) fn take(&self, record: &RecordView<'_>) -> Account {
        let Some(place) = place(record) else {
            return Account::default();
        };
        let mut books = self.books();
        let found = books
            .topics
            .get_mut(record.topic)
            .and_then(|records| records.remove(&place));
        match found {
            Some((account, _)) => {
                books.records -= 1;
                account
            }
            None => Account::default(),
        }
    }

    /// Puts it back for the next attempt, which is due after a while.
    pub(super) fn put(&self, record: &RecordView<'_>, account: Account, after: Duration) {
        let Some(place) = place(record) else { return };
        let now = Instant::now();
        let mut books = self.books();
        if books.records >= RECORDS {
            books.sweep(now);
        }
        if books.records >= RECORDS {
            return;
        }
        let entry = (account, now + after.min(LONGEST));
        let replaced = match books.topics.get_mut(record.topic) {
            Some(records) => records.insert(place, entry),
            None => {
                let topic = books.topics.entry(record.topic.into()).or_default();
                topic.insert(place, entry)
            }
        };
        books.records += usize::from(replaced.is_none());
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now < swept + SWEEP) {
            return;
        }
        self.swept = Some(now);
        for records in self.topics.values_mut() {
            records.retain(|_, (_, due)| now < *due + OVERDUE);
        }
        self.topics.retain(|_, records| !records.is_empty());
        self.records = self.topics.values().map(HashMap::len).sum();
    }
}

fn place(record: &RecordView<'_>) -> Option<(i32, i64)> {
    Some((record.partition?, record.offset?))
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::record::{ConsumerRecord, Record};

    fn record(offset: i64) -> ConsumerRecord {
        ConsumerRecord::builder("t", 0, offset).build()
    }

    fn waits(waits: u32) -> Account {
        Account {
            waits,
            ..Account::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_is_kept_until_it_is_taken() {
        let ledger = Ledger::default();
        let elsewhere = ConsumerRecord::builder("u", 0, 1).build();
        ledger.put(&record(1).view(), waits(1), Duration::ZERO);
        ledger.put(&record(1).view(), waits(2), Duration::ZERO);
        ledger.put(&record(2).view(), waits(3), Duration::ZERO);
        assert_eq!(ledger.take(&elsewhere.view()).waits, 0);
        assert_eq!(ledger.take(&record(1).view()).waits, 2);
        assert_eq!(ledger.take(&record(1).view()).waits, 0);
        assert_eq!(ledger.books().records, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_ledger_forgets_what_did_not_come_back() {
        let ledger = Ledger::default();
        let records = RECORDS as i64;
        for offset in 0..records {
            ledger.put(&record(offset).view(), waits(1), Duration::ZERO);
        }
        // What may yet come back is not pushed out.
        ledger.put(&record(records).view(), waits(1), Duration::ZERO);
        assert_eq!(ledger.take(&record(records).view()).waits, 0);
        assert_eq!(ledger.take(&record(0).view()).waits, 1);
        ledger.put(&record(0).view(), waits(1), 2 * OVERDUE);
        advance(OVERDUE).await;
        ledger.put(&record(records).view(), waits(1), Duration::ZERO);
        assert_eq!(ledger.take(&record(records).view()).waits, 1);
        assert_eq!(ledger.take(&record(0).view()).waits, 1);
        assert_eq!(ledger.books().records, 0);
    }
}
