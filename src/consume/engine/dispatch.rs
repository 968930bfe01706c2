use super::keys::KeyHash;
use crate::record::ConsumerRecord;

/// A record on its way from its lane to the service and back.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) record: ConsumerRecord,
    pub(super) lane: u32,
    pub(super) generation: u64,
    pub(super) number: u64,
    pub(super) key: Option<KeyHash>,
    pub(super) holds_key: bool,
    pub(super) begun: bool,
    pub(super) running: bool,
}

impl Dispatch {
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }
}
