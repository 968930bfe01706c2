//! Everything that the brokers ever accepted from a group, in order: its records in
//! `__consumer_offsets`. Other than looking now and then, this misses nothing.

use std::collections::BTreeMap;

use rdkafka::Message;

use crate::{harness::Result, kafka};

const TOPIC: &str = "__consumer_offsets";

/// What a key of the topic says of its record.
const OFFSET_COMMIT: [i16; 2] = [0, 1];
const CLASSIC_GROUP: i16 = 2;
const CONSUMER_GROUP: i16 = 3;

#[derive(Debug, Default)]
pub(crate) struct GroupLog {
    /// The committed offsets by topic and partition, in the order in which they were accepted.
    commits: BTreeMap<(String, i32), Vec<i64>>,
    /// The group's generations, or epochs under the new protocol: each rebalance begins one.
    generations: Vec<i32>,
}

impl GroupLog {
    pub(crate) fn read(brokers: &str, group: &str) -> Result<Self> {
        let mut log = Self::default();
        kafka::read(brokers, TOPIC, |message| {
            log.note(group, message.key(), message.payload());
        })?;
        Ok(log)
    }

    fn note(&mut self, group: &str, key: Option<&[u8]>, value: Option<&[u8]>) {
        let (Some(mut key), Some(mut value)) = (key, value) else {
            return;
        };
        let Some(kind) = int16(&mut key) else {
            return;
        };
        if string(&mut key).as_deref() != Some(group) {
            return;
        }
        match kind {
            kind if OFFSET_COMMIT.contains(&kind) => {
                let place = string(&mut key).zip(int32(&mut key));
                let offset = int16(&mut value).and_then(|_| int64(&mut value));
                if let (Some(place), Some(offset)) = (place, offset) {
                    self.commits.entry(place).or_default().push(offset);
                }
            }
            CLASSIC_GROUP => self.generation(classic_generation(value)),
            CONSUMER_GROUP => {
                let epoch = int16(&mut value).and_then(|_| int32(&mut value));
                self.generation(epoch);
            }
            _ => {}
        }
    }

    fn generation(&mut self, generation: Option<i32>) {
        if let Some(generation) = generation
            && self.generations.last() != Some(&generation)
        {
            self.generations.push(generation);
        }
    }

    pub(crate) fn commits(&self) -> usize {
        self.commits.values().map(Vec::len).sum()
    }

    /// How many commits took an offset back.
    pub(crate) fn went_back(&self) -> usize {
        let pairs = self.commits.values().flat_map(|offsets| offsets.windows(2));
        pairs.filter(|pair| pair[0] > pair[1]).count()
    }

    pub(crate) fn rebalances(&self) -> usize {
        self.generations.len()
    }
}

/// The second field of a group's record, behind the type of its protocol, whose length has two
/// forms.
fn classic_generation(mut value: &[u8]) -> Option<i32> {
    match int16(&mut value)? {
        ..=3 => drop(string(&mut value)?),
        _ => {
            // Shorter than 127 bytes, so that its length is one byte, and one more than it is.
            let length = value.split_off_first()?.checked_sub(1)?;
            value.split_off(..usize::from(length))?;
        }
    }
    int32(&mut value)
}

fn int16(bytes: &mut &[u8]) -> Option<i16> {
    Some(i16::from_be_bytes(bytes.split_off(..2)?.try_into().ok()?))
}

fn int32(bytes: &mut &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.split_off(..4)?.try_into().ok()?))
}

fn int64(bytes: &mut &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(bytes.split_off(..8)?.try_into().ok()?))
}

fn string(bytes: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(int16(bytes)?).ok()?;
    String::from_utf8(bytes.split_off(..length)?.to_vec()).ok()
}

/// Fails where a commit that goes back, or a rebalance, would go unseen.
pub(crate) fn self_check() {
    let text = |text: &str| [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat();
    let key = |kind: i16, group: &str| [&kind.to_be_bytes()[..], &text(group)].concat();
    let mut log = GroupLog::default();
    for (group, offset) in [("g", 5_i64), ("g", 7), ("other", 1), ("g", 7), ("g", 6)] {
        let key = [key(1, group), text("topic"), 3_i32.to_be_bytes().to_vec()].concat();
        let value = [&3_i16.to_be_bytes()[..], &offset.to_be_bytes()].concat();
        log.note("g", Some(&key), Some(&value));
    }
    assert_eq!((log.commits(), log.went_back()), (4, 1));
    for generation in [1_i32, 1, 2] {
        let value = [3_i16.to_be_bytes().to_vec(), text("consumer")].concat();
        let value = [&value[..], &generation.to_be_bytes()].concat();
        log.note("g", Some(&key(2, "g")), Some(&value));
    }
    let compact = [
        &4_i16.to_be_bytes()[..],
        b"\x09consumer",
        &3_i32.to_be_bytes(),
    ]
    .concat();
    log.note("g", Some(&key(2, "g")), Some(&compact));
    assert_eq!(log.rebalances(), 3);
    let epoch = [&0_i16.to_be_bytes()[..], &4_i32.to_be_bytes()].concat();
    log.note("g", Some(&key(3, "g")), Some(&epoch));
    assert_eq!(log.rebalances(), 4);
}
