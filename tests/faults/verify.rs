//! What was acknowledged held against what was handled. No I/O: plain data in, findings out.

use std::{collections::HashMap, fmt};

use crate::{ledger::Line, payload::Id};

/// A record whose delivery report came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) id: Id,
    pub(crate) partition: i32,
    pub(crate) offset: Option<i64>,
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (partition, offset) = (self.partition, self.offset.unwrap_or(-1));
        write!(f, "{} at {partition}/{offset}", self.id)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) acknowledged: usize,
    /// Calls of handlers that came to an end.
    pub(crate) handled: usize,
    /// Acknowledged and never handled.
    pub(crate) lost: usize,
    /// Those of the lost that lie behind everything that was handled in their partition.
    pub(crate) unseen_tail: usize,
    /// Calls for a record that had been handled before.
    pub(crate) duplicates: usize,
    /// Records first handled after a later one of their key, or side by side with it.
    pub(crate) inversions: usize,
    /// Handled, and never acknowledged.
    pub(crate) unexpected: usize,
    /// Handled at another place than the one that was acknowledged.
    pub(crate) misplaced: usize,
    /// The first few of each kind.
    pub(crate) examples: Vec<String>,
}

const EXAMPLES: usize = 3;

impl Findings {
    /// `count`: how many of this kind were found, this one included.
    fn example(&mut self, count: usize, example: impl FnOnce() -> String) {
        if count <= EXAMPLES {
            self.examples.push(example());
        }
    }
}

/// What is known of a key: for each sequence number the acknowledgement and the first line.
#[derive(Default)]
struct Key<'a> {
    records: Vec<(Option<&'a Ack>, Option<&'a Line>)>,
    /// The highest sequence number that was handled so far, and when the last first call ended.
    highest: Option<u32>,
    ended: u64,
}

impl<'a> Key<'a> {
    fn record(&mut self, seq: u32) -> &mut (Option<&'a Ack>, Option<&'a Line>) {
        let seq = seq as usize;
        if self.records.len() <= seq {
            self.records.resize(seq + 1, (None, None));
        }
        &mut self.records[seq]
    }
}

/// `lines` in the order in which they were written.
pub(crate) fn verify(acks: &[Ack], lines: &[Line]) -> Findings {
    let mut findings = Findings {
        acknowledged: acks.len(),
        handled: lines.len(),
        ..Findings::default()
    };
    let mut keys: HashMap<u32, Key<'_>> = HashMap::new();
    for ack in acks {
        let key = keys.entry(ack.id.key).or_default();
        key.record(ack.id.seq).0 = Some(ack);
    }
    let mut ends: HashMap<i32, i64> = HashMap::new();
    for line in lines {
        let end = ends.entry(line.partition).or_insert(line.offset);
        *end = line.offset.max(*end);
        let key = keys.entry(line.id.key).or_default();
        let (ack, first) = key.record(line.id.seq);
        if let Some(first) = first {
            findings.duplicates += 1;
            findings.example(findings.duplicates, || {
                format!("twice: {line}, after {first}")
            });
            continue;
        }
        *first = Some(line);
        match ack {
            None => {
                findings.unexpected += 1;
                findings.example(findings.unexpected, || {
                    format!("never acknowledged: {line}")
                });
            }
            Some(ack) => {
                let there = ack.offset.is_none_or(|offset| offset == line.offset);
                if ack.id != line.id || ack.partition != line.partition || !there {
                    findings.misplaced += 1;
                    findings.example(findings.misplaced, || {
                        format!("acknowledged as {ack}, handled as {line}")
                    });
                }
            }
        }
        let behind = key.highest.is_some_and(|highest| highest > line.id.seq);
        if behind || line.start < key.ended {
            findings.inversions += 1;
            let (highest, ended) = (key.highest.unwrap_or_default(), key.ended);
            findings.example(findings.inversions, || {
                format!(
                    "out of order: {line}, after number {highest}; an earlier one ended at {ended}"
                )
            });
        }
        key.highest = key.highest.max(Some(line.id.seq));
        key.ended = key.ended.max(line.end);
    }
    for (ack, first) in keys.into_values().flat_map(|key| key.records) {
        let (Some(ack), None) = (ack, first) else {
            continue;
        };
        findings.lost += 1;
        let end = ends.get(&ack.partition).copied().unwrap_or(-1);
        findings.unseen_tail += usize::from(ack.offset.is_some_and(|offset| offset > end));
        findings.example(findings.lost, || format!("lost: {ack}"));
    }
    findings
}

/// Fails where the verifier doesn't find what is wrong.
pub(crate) fn self_check() {
    let id = |seq| Id {
        producer: 0,
        key: 3,
        seq,
    };
    let ack = |seq: u32| Ack {
        id: id(seq),
        partition: 1,
        offset: Some(i64::from(seq) * 2),
    };
    let line = |seq: u32, at: u64| Line {
        partition: 1,
        offset: i64::from(seq) * 2,
        id: id(seq),
        worker: 0,
        start: at,
        end: at + 9,
        attempt: 1,
    };
    let acks: Vec<_> = (0..4).map(ack).collect();
    let found = |lines: &[Line]| {
        let Findings {
            lost,
            unseen_tail,
            duplicates,
            inversions,
            unexpected,
            misplaced,
            ..
        } = verify(&acks, lines);
        [
            lost,
            unseen_tail,
            duplicates,
            inversions,
            unexpected,
            misplaced,
        ]
    };
    let good = [line(0, 0), line(1, 10), line(2, 20), line(3, 30)];
    assert_eq!(found(&good), [0; 6]);
    assert_eq!(found(&[]), [4, 4, 0, 0, 0, 0]);
    assert_eq!(found(&good[..3]), [1, 1, 0, 0, 0, 0]);
    assert_eq!(found(&good[1..]), [1, 0, 0, 0, 0, 0]);
    let again = [&good[..], &[line(2, 40)]].concat();
    assert_eq!(found(&again), [0, 0, 1, 0, 0, 0]);
    let swapped = [line(0, 0), line(2, 10), line(1, 20), line(3, 30)];
    assert_eq!(found(&swapped), [0, 0, 0, 1, 0, 0]);
    let side_by_side = [line(0, 0), line(1, 10), line(2, 12), line(3, 30)];
    assert_eq!(found(&side_by_side), [0, 0, 0, 1, 0, 0]);
    // A second call of what was handled before is no inversion, however late it is.
    let late = [&good[..], &[line(0, 31)]].concat();
    assert_eq!(found(&late), [0, 0, 1, 0, 0, 0]);
    let unexpected = [&good[..], &[line(4, 40)]].concat();
    assert_eq!(found(&unexpected), [0, 0, 0, 0, 1, 0]);
    let mut elsewhere = good;
    elsewhere[1].offset += 1;
    assert_eq!(found(&elsewhere), [0, 0, 0, 0, 0, 1]);
    elsewhere[1] = line(1, 10);
    elsewhere[1].partition = 2;
    assert_eq!(found(&elsewhere), [0, 0, 0, 0, 0, 1]);
}
