//! What every record carries: enough to tell which one it is, and that it is whole.

use std::{fmt, sync::OnceLock};

/// A record: the `seq`th of its key. A key belongs to one producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(crate) producer: u32,
    pub(crate) key: u32,
    pub(crate) seq: u32,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {} number {}", self.key, self.seq)
    }
}

/// Producer, key, sequence and checksum.
const HEAD: usize = 16;
const LONGEST: usize = 256 << 10;
/// Neighbours begin their filler at different places.
const SHIFTS: usize = 251;

impl Id {
    pub(crate) fn key_text(self) -> String {
        format!("key-{}", self.key)
    }

    /// `size` bytes, or the head alone where that is longer.
    pub(crate) fn payload(self, size: usize) -> Vec<u8> {
        let mut payload = Vec::with_capacity(size.max(HEAD));
        for number in [self.producer, self.key, self.seq] {
            payload.extend(number.to_be_bytes());
        }
        payload.extend(crc32(&payload).to_be_bytes());
        payload.extend_from_slice(self.filler(size.saturating_sub(HEAD)));
        payload
    }

    fn filler(self, len: usize) -> &'static [u8] {
        static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
        let pattern = PATTERN.get_or_init(|| {
            let mut state = 1_u32;
            let noise = std::iter::repeat_with(|| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0]
            });
            noise.take(LONGEST + SHIFTS).collect()
        });
        let shift = self.seq as usize % SHIFTS;
        &pattern[shift..shift + len]
    }

    /// Which record this is; an error says what is wrong with it.
    pub(crate) fn read(key: Option<&[u8]>, payload: Option<&[u8]>) -> Result<Self, &'static str> {
        let payload = payload.ok_or("no payload")?;
        let (head, filler) = payload.split_at_checked(HEAD).ok_or("a short payload")?;
        let number = |at: usize| {
            let bytes = head[at..at + 4].try_into().expect("four bytes");
            u32::from_be_bytes(bytes)
        };
        if number(12) != crc32(&head[..12]) {
            return Err("a wrong checksum");
        }
        let id = Self {
            producer: number(0),
            key: number(4),
            seq: number(8),
        };
        if key != Some(id.key_text().as_bytes()) {
            return Err("the key of another record");
        }
        match filler.len() <= LONGEST && filler == id.filler(filler.len()) {
            true => Ok(id),
            false => Err("a damaged payload"),
        }
    }
}

/// The CRC-32 of zlib.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc: u32, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// Fails where a damaged record would pass.
pub(crate) fn self_check() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    let id = Id {
        producer: 1,
        key: 7,
        seq: 300,
    };
    let read = |payload: &[u8]| Id::read(Some(b"key-7"), Some(payload));
    for size in [0, 16, 17, 100, 5000] {
        let whole = id.payload(size);
        assert_eq!(whole.len(), size.max(16));
        assert_eq!(read(&whole), Ok(id));
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(read(&damaged).is_err(), "byte {at} of {size}");
        }
    }
    assert!(Id::read(Some(b"key-8"), Some(&id.payload(50))).is_err());
    assert!(Id::read(None, Some(&id.payload(50))).is_err());
    assert!(Id::read(Some(b"key-7"), None).is_err());
    assert!(read(b"short").is_err());
}
