//! The engine for `benches/engine`, which has no other way to it. Nothing here is promised.
#![allow(missing_docs)]

use std::{collections::VecDeque, sync::Arc};

use super::*;
use crate::record::{
    Lease, Outcome,
    chunk::{Chunk, Origin},
};

/// How many records arrive in a lane at once.
const BATCH: usize = 64;
/// In how many lanes at a time.
const SPREAD: usize = 4;
const PAYLOAD: &[u8] = &[7; 100];

/// What an engine has to do.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub lanes: usize,
    pub keys: usize,
    /// How many calls are running before one ends; 0: each ends at once.
    pub running: usize,
    /// Calls end in no order.
    pub shuffled: bool,
    pub records: usize,
}

/// A load and an engine for it.
#[derive(Debug)]
pub struct Run {
    load: Load,
    engine: Engine,
    counts: Arc<Counts>,
    offsets: Vec<i64>,
    batches: Vec<(u64, Vec<ConsumerRecord>)>,
    made: usize,
    random: u64,
    running: VecDeque<Dispatch>,
}

fn engine(running: usize) -> (Engine, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let bounds = Bounds {
        ordering: Ordering::Key,
        max_in_flight: running.max(1),
        max_waiting: 1_000,
        max_offset_span: 100_000,
        on_unhandled: OnUnhandled::Stop,
    };
    (Engine::new(bounds, Arc::clone(&counts)), counts)
}

impl Run {
    #[must_use]
    pub fn new(load: Load) -> Self {
        let (mut engine, counts) = engine(load.running);
        for generation in 0..load.lanes as u64 {
            engine.open(generation, Opening::default());
        }
        Self {
            load,
            engine,
            counts,
            offsets: vec![0; load.lanes],
            batches: Vec::new(),
            made: 0,
            random: 1,
            running: VecDeque::new(),
        }
    }

    /// Makes the records of the next round.
    pub fn prepare(&mut self) {
        let Load { lanes, records, .. } = self.load;
        for _ in 0..records / BATCH {
            let lane = self.made / BATCH % lanes;
            let batch = self.batch(lane);
            self.batches.push((lane as u64, batch));
        }
    }

    fn batch(&mut self, lane: usize) -> Vec<ConsumerRecord> {
        let mut bytes = Vec::with_capacity(BATCH * (PAYLOAD.len() + 8));
        for _ in 0..BATCH {
            // A prime, so that equal keys are far apart and all of them come.
            let key = self.made.wrapping_mul(7_919) % self.load.keys;
            bytes.extend_from_slice(&(key as u64).to_be_bytes());
            bytes.extend_from_slice(PAYLOAD);
            self.made += 1;
        }
        let origin = Origin::new("bench".into(), 0, Lease::new(0));
        let chunk = Arc::new(Chunk::new(Arc::new(origin), bytes));
        let offset = &mut self.offsets[lane];
        let records = (0..BATCH).map(|nth| {
            let start = nth * (PAYLOAD.len() + 8);
            let lengths = [Some(8), Some(PAYLOAD.len())];
            *offset += 1;
            ConsumerRecord::in_chunk(Arc::clone(&chunk), start, lengths, *offset - 1)
        });
        records.collect()
    }

    /// Handles what was prepared.
    ///
    /// # Panics
    ///
    /// When a record is left: a bug.
    pub fn go(&mut self) {
        let before = self.counts.acked.get();
        let mut batches = std::mem::take(&mut self.batches).into_iter();
        let wanted = batches.len() * BATCH;
        while batches.len() > 0 {
            for (generation, records) in batches.by_ref().take(SPREAD) {
                self.engine.arrive(generation, records);
            }
            while self.dispatch() {
                self.end_one();
            }
        }
        while !self.running.is_empty() {
            self.end_one();
            self.dispatch();
        }
        let done = self.counts.acked.get() - before;
        assert_eq!(usize::try_from(done), Ok(wanted), "some are left");
    }

    /// Dispatches what may be; whether there may be more when a call ends.
    fn dispatch(&mut self) -> bool {
        while let Some(place) = self.engine.next_lane() {
            let mut any = false;
            while let Some(mut dispatch) = self.engine.take(place) {
                any = true;
                self.engine.begin(&mut dispatch);
                if self.load.running == 0 {
                    self.engine.finish(dispatch, Ok(Outcome::Ack), Moment::ZERO);
                } else {
                    self.engine.running(&mut dispatch);
                    self.running.push_back(dispatch);
                }
            }
            if any {
                self.engine.list(place);
            }
        }
        !self.engine.has_room()
    }

    fn end_one(&mut self) {
        let last = self.running.len() - 1;
        let dispatch = match self.load.shuffled {
            false => self.running.pop_front(),
            true => {
                self.random ^= self.random << 13;
                self.random ^= self.random >> 7;
                self.random ^= self.random << 17;
                self.running
                    .swap_remove_back(self.random as usize % (last + 1))
            }
        };
        let dispatch = dispatch.expect("one that is running");
        self.engine.finish(dispatch, Ok(Outcome::Ack), Moment::ZERO);
    }
}

/// Lanes with records that wait for their next attempt.
#[derive(Debug)]
pub struct Parked {
    run: Run,
}

impl Parked {
    #[must_use]
    pub fn new(lanes: usize, each: usize) -> Self {
        let mut run = Run::new(Load {
            lanes,
            keys: usize::MAX,
            running: 0,
            shuffled: false,
            records: lanes * each.next_multiple_of(BATCH),
        });
        run.prepare();
        for (generation, records) in std::mem::take(&mut run.batches) {
            run.engine.arrive(generation, records);
        }
        while let Some(place) = run.engine.next_lane() {
            while let Some(mut dispatch) = run.engine.take(place) {
                run.engine.begin(&mut dispatch);
                let after = Moment::from_secs(1 + dispatch.number % 7);
                let outcome = Outcome::Defer { after };
                run.engine.finish(dispatch, Ok(outcome), Moment::ZERO);
            }
        }
        Self { run }
    }

    /// Stops one lane after the other.
    pub fn stop(&mut self) {
        for generation in 0..self.run.load.lanes as u64 {
            self.run.engine.stop(generation);
        }
    }
}
