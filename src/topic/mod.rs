//! Topics with types: name, key, value and codec in one constant, for both sides.

mod key;

pub use self::key::RecordKey;
