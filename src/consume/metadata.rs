//! What travels with a committed offset: what was running when it was committed, and how often
//! incomplete records were attempted. So the next owner of a partition knows what the last one
//! didn't live to tell.

use std::fmt::Write;

use super::engine::{Attempts, Caution};

/// Brokers take 4 096 bytes (`offset.metadata.max.bytes`), and nothing is committed with one more.
const MOST_BYTES: usize = 3_000;
const VERSION: &str = "kt1";

/// What was known of a partition when its offset was committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    /// The owner goes on, and has begun nothing behind this offset; `None`: it ended, and said so.
    pub(super) running_to: Option<i64>,
    pub(super) attempts: Attempts,
    /// The fencing number of the owner.
    pub(super) owner: i64,
}

/// How many owners the number of a generation leaves room for.
const OWNERS: i64 = 1_000_000;

impl Metadata {
    /// The fencing number of the next owner, of this generation of the group.
    pub(super) fn next_owner(&self, generation: i64) -> i64 {
        let first = generation.saturating_mul(OWNERS);
        first.max(self.owner.saturating_add(1))
    }

    /// That of an owner that wasn't told of those before it: they are fewer than half of what there is room
    /// for.
    pub(super) fn unknown_owner(generation: i64) -> i64 {
        let first = generation.saturating_mul(OWNERS);
        first.saturating_add(OWNERS / 2)
    }

    /// Text for the offset `base`. Offsets are written relative to it, the oldest first, and what
    /// doesn't fit is left out.
    pub(super) fn encode(&self, base: i64) -> String {
        let mut text = VERSION.to_owned();
        if let Some(to) = self.running_to {
            let _ = write!(text, ";r{}", to - base);
        }
        if self.owner > 0 {
            let _ = write!(text, ";o{}", self.owner);
        }
        if let Some((from, to)) = self.attempts.trial {
            let _ = write!(text, ";t{}+{}", from - base, to - from);
        }
        for (index, (offset, made)) in self.attempts.made.range(base..).enumerate() {
            let before = text.len();
            let separator = if index == 0 { ";a" } else { "," };
            let _ = write!(text, "{separator}{}x{made}", offset - base);
            if text.len() > MOST_BYTES {
                text.truncate(before);
                break;
            }
        }
        text
    }

    /// Reads what [`encode`](Self::encode) wrote for `base`; of anything else nothing is known.
    pub(super) fn decode(text: &[u8], base: i64) -> Self {
        let text = std::str::from_utf8(text).unwrap_or_default();
        Self::parse(text, base).unwrap_or_default()
    }

    fn parse(text: &str, base: i64) -> Option<Self> {
        let mut fields = text.split(';');
        if fields.next() != Some(VERSION) {
            return None;
        }
        let mut metadata = Self::default();
        for field in fields {
            let (kind, value) = field.split_at_checked(1)?;
            match kind {
                "r" => metadata.running_to = Some(base.checked_add(value.parse().ok()?)?),
                "o" => metadata.owner = value.parse().ok()?,
                "t" => {
                    let (from, length) = value.split_once('+')?;
                    let from = base.checked_add(from.parse().ok()?)?;
                    let to = from.checked_add(length.parse().ok()?)?;
                    metadata.attempts.trial = Some((from, to));
                }
                "a" => {
                    for one in value.split(',') {
                        let (offset, made) = one.split_once('x')?;
                        let offset = base.checked_add(offset.parse().ok()?)?;
                        metadata.attempts.made.insert(offset, made.parse().ok()?);
                    }
                }
                _ => {}
            }
        }
        Some(metadata)
    }

    /// How to go through what was running when the last owner ended without a word.
    pub(super) fn caution(&self, base: i64) -> Option<Caution> {
        let running_to = self.running_to?;
        let singly = self.attempts.trial.unwrap_or((base, base));
        let until = running_to.max(singly.1);
        (until > base).then(|| Caution::new(singly, until))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn metadata() -> Metadata {
        Metadata {
            running_to: Some(180),
            attempts: Attempts {
                made: [(103, 2), (117, 1)].into(),
                trial: Some((103, 104)),
            },
            owner: 7_000_001,
        }
    }

    #[test]
    fn each_owner_has_a_higher_number() {
        let after = |owner| Metadata {
            owner,
            ..Metadata::default()
        };
        assert_eq!(Metadata::default().next_owner(7), 7_000_000);
        assert_eq!(after(6_000_412).next_owner(7), 7_000_000);
        assert_eq!(after(7_000_000).next_owner(7), 7_000_001);
        // It hasn't heard of the generation yet.
        assert_eq!(after(7_000_000).next_owner(6), 7_000_001);
        assert_eq!(after(i64::MAX).next_owner(i64::MAX), i64::MAX);

        let unknown = Metadata::unknown_owner(7);
        assert!(after(7_000_412).next_owner(7) < unknown);
        assert!(unknown < after(unknown).next_owner(7));
        assert!(after(unknown).next_owner(7) < Metadata::default().next_owner(8));
        assert_eq!(Metadata::unknown_owner(i64::MAX), i64::MAX);
    }

    #[test]
    fn it_is_short_text_relative_to_its_offset() {
        let text = metadata().encode(100);
        assert_eq!(text, "kt1;r80;o7000001;t3+1;a3x2,17x1");
        assert_eq!(Metadata::decode(text.as_bytes(), 100), metadata());
        assert_eq!(Metadata::default().encode(7), "kt1");
    }

    #[test]
    fn a_partition_whose_owner_ended_in_order_needs_no_caution() {
        let ended = Metadata {
            running_to: None,
            ..metadata()
        };
        assert_eq!(ended.caution(100), None);
        let idle = Metadata {
            running_to: Some(100),
            ..Metadata::default()
        };
        assert_eq!(idle.caution(100), None);
        let caution = metadata().caution(100);
        assert_eq!(caution, Some(Caution::new((103, 104), 180)));
    }

    #[test]
    fn the_oldest_attempts_are_kept_when_not_all_fit() {
        let mut many = metadata();
        many.attempts.made = (0..100_000).map(|n| (100 + 7 * n, 3)).collect();
        let text = many.encode(100);
        assert!(text.len() <= MOST_BYTES, "{}", text.len());
        let read = Metadata::decode(text.as_bytes(), 100);
        assert!(read.attempts.made.len() > 300);
        assert!(
            many.attempts
                .made
                .iter()
                .zip(&read.attempts.made)
                .all(|(a, b)| a == b)
        );
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            base in 0..i64::MAX / 2,
            ahead in proptest::option::of(0..1_000_000_i64),
            owner in 0..i64::MAX,
            made in proptest::collection::btree_map(0..1_000_000_i64, 1..u32::MAX, 0..50),
        ) {
            let written = Metadata {
                running_to: ahead.map(|ahead| base + ahead),
                attempts: Attempts {
                    made: made.into_iter().map(|(ahead, made)| (base + ahead, made)).collect(),
                    trial: None,
                },
                owner,
            };
            prop_assert_eq!(Metadata::decode(written.encode(base).as_bytes(), base), written);
        }

        #[test]
        fn any_text_is_taken(text in ".{0,60}", base in 0..i64::MAX) {
            let _ = Metadata::decode(text.as_bytes(), base);
            let _ = Metadata::decode(format!("kt1;{text}").as_bytes(), base);
        }
    }
}
