use std::{collections::BTreeMap, fmt};

/// What a consumer did, and what it left.
///
/// `Display` shows it in a few lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Records that were handled.
    pub acked: u64,
    /// Records that were left alone on purpose.
    pub skipped: u64,
    /// Records that were moved elsewhere, to a dead-letter topic for instance.
    pub moved: u64,
    /// How often a record was put off to a next attempt.
    pub retried: u64,
    /// How often a record was put off without counting an attempt.
    pub deferred: u64,
    /// How many offsets Kafka confirmed as committed, one for each partition in each commit.
    pub commits: u64,
    /// How many it refused, or didn't answer; they were tried again as long as the partition was
    /// ours.
    pub commits_refused: u64,
    /// For each topic and partition the last offset that Kafka confirmed as committed: the next
    /// one to be read, by this consumer or another.
    pub committed: BTreeMap<(String, i32), i64>,
    /// Topic, partition and offset of what was begun and not completed, and why. Whoever gets the
    /// partition next handles it again. Records that were fetched and never begun aren't listed, and
    /// of each member no more than 10 000 are.
    pub undone: Vec<(String, i32, i64, Undone)>,
    /// Why it ended; `None` where an error says so.
    pub stop: Option<StopReason>,
}

impl Summary {
    /// Adds what another member of the group did.
    pub(super) fn merge(&mut self, other: Self) {
        self.acked += other.acked;
        self.skipped += other.skipped;
        self.moved += other.moved;
        self.retried += other.retried;
        self.deferred += other.deferred;
        self.commits += other.commits;
        self.commits_refused += other.commits_refused;
        for (place, offset) in other.committed {
            let known = self.committed.entry(place).or_insert(offset);
            *known = offset.max(*known);
        }
        self.undone.extend(other.undone);
        let committed = &self.committed;
        self.undone.retain(|(topic, partition, offset, _)| {
            let place = (topic.clone(), *partition);
            committed
                .get(&place)
                .is_none_or(|committed| committed <= offset)
        });
        if !matches!(self.stop, Some(StopReason::Requested { .. })) {
            self.stop = other.stop.or(self.stop.take());
        }
    }
}

/// Why a record that was begun is not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Undone {
    /// It waited to be dispatched again: `Retry`, `Defer`, or a service that wasn't ready.
    Waiting,
    /// Its service was still running when the time to drain was over, and was dropped.
    Cancelled,
    /// Its partition was lost to another member: nothing may be committed for it any more.
    Lost,
    /// It failed, and no layer handled that.
    Failed,
    /// Its service answered with [`Outcome::Stop`](crate::Outcome::Stop).
    Stopped,
}

impl fmt::Display for Undone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting for its next dispatch",
            Self::Cancelled => "cancelled while running",
            Self::Lost => "its partition was lost",
            Self::Failed => "failed",
            Self::Stopped => "its service asked to stop",
        })
    }
}

/// Why a consumer ended without an error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// The signal of [`with_graceful_shutdown`](crate::Serve::with_graceful_shutdown) came.
    Shutdown,
    /// A service answered with [`Outcome::Stop`](crate::Outcome::Stop).
    Requested {
        /// The record's topic.
        topic: String,
        /// The record's partition.
        partition: i32,
        /// The record's offset.
        offset: i64,
    },
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shutdown => f.write_str("shutdown"),
            Self::Requested {
                topic,
                partition,
                offset,
            } => write!(
                f,
                "requested by the service at {topic}/{partition} offset {offset}"
            ),
        }
    }
}

/// How many partitions are shown by name.
const SHOWN: usize = 20;

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} acked, {} skipped, {} moved, {} retried, {} deferred",
            self.acked, self.skipped, self.moved, self.retried, self.deferred
        )?;
        let committed = self.committed.iter();
        list(
            f,
            "committed",
            committed,
            |f, ((topic, partition), offset)| write!(f, "{topic}/{partition} to {offset}"),
        )?;
        let undone = self.undone.iter();
        list(f, "undone", undone, |f, (topic, partition, offset, why)| {
            write!(f, "{topic}/{partition} offset {offset} ({why})")
        })?;
        match &self.stop {
            Some(reason) => write!(f, "\nstopped: {reason}"),
            None => Ok(()),
        }
    }
}

fn list<T>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    items: impl ExactSizeIterator<Item = T>,
    show: impl Fn(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    let more = items.len().saturating_sub(SHOWN);
    for (index, item) in items.take(SHOWN).enumerate() {
        match index {
            0 => write!(f, "\n{title}: ")?,
            _ => f.write_str(", ")?,
        }
        show(f, item)?;
    }
    match more {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_in_a_few_lines() {
        let mut summary = Summary {
            acked: 3,
            retried: 1,
            ..Summary::default()
        };
        assert_eq!(
            summary.to_string(),
            "3 acked, 0 skipped, 0 moved, 1 retried, 0 deferred"
        );
        for partition in 0..22 {
            summary.committed.insert(("t".into(), partition), 7);
        }
        summary.undone = vec![
            ("t".into(), 0, 7, Undone::Waiting),
            ("u".into(), 1, 0, Undone::Cancelled),
        ];
        summary.stop = Some(StopReason::Shutdown);
        let shown = summary.to_string();
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(
            lines[1].starts_with("committed: t/0 to 7, t/1 to 7, "),
            "{shown}"
        );
        assert!(lines[1].ends_with("t/19 to 7 and 2 more"), "{shown}");
        assert_eq!(
            lines[2],
            "undone: t/0 offset 7 (waiting for its next dispatch), \
             u/1 offset 0 (cancelled while running)"
        );
        assert_eq!(lines[3], "stopped: shutdown");
    }
}
