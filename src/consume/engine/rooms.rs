use super::{dispatch::Dispatch, keys::Keys, lane::Lane, tracker::Ring};

/// How many are kept for the next lanes that have records.
const MOST: usize = 64;

/// What lanes need only while they have records. Among thousands of lanes few have any, and what
/// the last one left is in the processor's cache still.
#[derive(Debug, Default)]
pub(super) struct Rooms(Vec<(Ring, Keys<Dispatch>)>);

impl Rooms {
    /// Before a record of a lane is looked for.
    pub(super) fn lend(&mut self, lane: &mut Lane) {
        if !lane.tracker.has_room()
            && let Some((ring, keys)) = self.0.pop()
        {
            lane.tracker.set_ring(ring);
            lane.keys = keys;
        }
    }

    /// After none was found.
    pub(super) fn take_back(&mut self, lane: &mut Lane) {
        // Without an incomplete record no key is busy.
        if lane.tracker.is_idle() && lane.tracker.has_room() {
            let room = (lane.tracker.take_ring(), std::mem::take(&mut lane.keys));
            if self.0.len() < MOST {
                self.0.push(room);
            }
        }
    }
}
