//! Any events in any order, held against a model that is too simple to be wrong.

mod events;
mod partition;
mod told;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use proptest::{collection::vec, prelude::*, test_runner::RngAlgorithm};

use self::{
    events::{Ahead, Answer, Event, Fate, bounds, caution, event},
    partition::{Partition, State},
};
use super::*;
use crate::record::Outcome;

const MILLISECOND: Duration = Duration::from_millis(1);
const PARTITIONS: usize = 2;

struct World {
    engine: Engine,
    counts: Arc<Counts>,
    bounds: Bounds,
    now: Moment,
    partitions: Vec<Partition>,
    by_generation: HashMap<u64, usize>,
    generations: u64,
    running: Vec<Dispatch>,
    drained: HashSet<u64>,
}

/// What a finished call has to be told for.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Failed(u64, i64),
    StopRequested(u64, i64),
}

impl World {
    fn new(bounds: Bounds, caution: Option<Ahead>) -> Self {
        let counts = Arc::new(Counts::default());
        let mut world = Self {
            engine: Engine::new(bounds, Arc::clone(&counts)),
            counts,
            bounds,
            now: Duration::ZERO,
            partitions: Vec::new(),
            by_generation: HashMap::new(),
            generations: 0,
            running: Vec::new(),
            drained: HashSet::new(),
        };
        for index in 0..PARTITIONS {
            world.partitions.push(Partition::default());
            world.open(index, caution);
        }
        world
    }

    fn open(&mut self, index: usize, caution: Option<Ahead>) {
        self.generations += 1;
        let partition = &mut self.partitions[index];
        let (opening, records, end) = partition.open(self.generations, caution);
        self.by_generation.insert(self.generations, index);
        self.engine.open(self.generations, opening);
        partition.progress.arrived(records.len());
        self.engine.arrive(self.generations, records);
        if let Some(end) = end {
            self.engine.arrive_end(self.generations, end);
            self.hear(None);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(index, records) => {
                let partition = &mut self.partitions[index];
                let records = partition.append(&records);
                partition.progress.arrived(records.len());
                self.engine.arrive(partition.generation, records);
            }
            Event::End(index, gap) => {
                let partition = &mut self.partitions[index];
                let end = partition.append_end(gap);
                self.engine.arrive_end(partition.generation, end);
                self.hear(None);
            }
            Event::Dispatch(fates) => self.dispatch(&fates),
            Event::Finish(which, answer) => {
                if !self.running.is_empty() {
                    let dispatch = self.running.swap_remove(which.index(self.running.len()));
                    self.finish(dispatch, answer);
                }
            }
            Event::Pass(milliseconds) => self.pass(milliseconds * MILLISECOND),
            Event::Ready => self.ready(),
            Event::Grant(index) => self.grant(index),
            Event::Pause(index, paused) => {
                self.engine.pause(self.partitions[index].generation, paused);
            }
            Event::Stop(index) => {
                self.engine.stop(self.partitions[index].generation);
                self.partitions[index].stop();
            }
            Event::StopAll => {
                self.engine.stop_all();
                self.partitions.iter_mut().for_each(Partition::stop);
            }
            Event::Reopen(index, cancel, caution) => self.reopen(index, cancel, caution),
        }
        self.check();
    }

    fn dispatch(&mut self, fates: &[Fate]) {
        let mut fates = fates.iter().cycle();
        // An answer at once may be `Retry` for ever; it takes time to pass though.
        while let Some(place) = self.engine.next_lane() {
            let mut burst = 0;
            while burst < 3 {
                let taken = self.engine.take(place);
                self.hear(None);
                let Some(mut dispatch) = taken else {
                    break;
                };
                let index = self.by_generation[&dispatch.generation];
                let partition = &mut self.partitions[index];
                partition.taken(&dispatch.record, &self.bounds);
                match fates.next() {
                    Some(Fate::Unready) => {
                        self.engine.put_back(dispatch, true);
                        break;
                    }
                    Some(Fate::AtOnce(answer)) => {
                        partition.begin(dispatch.record.offset());
                        self.engine.begin(&mut dispatch);
                        self.finish(dispatch, *answer);
                    }
                    Some(Fate::Runs) | None => {
                        partition.begin(dispatch.record.offset());
                        self.engine.begin(&mut dispatch);
                        self.engine.running(&mut dispatch);
                        self.running.push(dispatch);
                    }
                }
                burst += 1;
            }
            if burst > 0 {
                self.engine.list(place);
            }
        }
    }

    fn finish(&mut self, dispatch: Dispatch, answer: Answer) {
        let index = self.by_generation[&dispatch.generation];
        let (generation, offset) = (dispatch.generation, dispatch.record.offset());
        let after = |milliseconds| milliseconds * MILLISECOND;
        let result = match answer {
            Answer::Ack => Ok(Outcome::Ack),
            Answer::Skip => Ok(Outcome::Skip),
            Answer::Retry(time) => Ok(Outcome::Retry {
                after: (time > 0).then(|| after(time)),
            }),
            Answer::Defer(time) => Ok(Outcome::Defer { after: after(time) }),
            Answer::DeadLetter => Ok(Outcome::DeadLetter {
                reason: offset.to_string().into(),
            }),
            Answer::Fail => Err(offset.to_string().into()),
            Answer::Stop => Ok(Outcome::Stop),
        };
        let stale = self.counts.stale.get();
        self.engine.finish(dispatch, result, self.now);
        let is_stale = self.partitions[index].generation != generation;
        self.hear(match answer {
            _ if is_stale => None,
            Answer::Fail | Answer::DeadLetter => Some(Told::Failed(generation, offset)),
            Answer::Stop => Some(Told::StopRequested(generation, offset)),
            _ => None,
        });
        if is_stale {
            assert_eq!(self.counts.stale.get(), stale + 1);
            return;
        }
        let partition = &mut self.partitions[index];
        let stops = match (answer, self.bounds.on_unhandled) {
            (Answer::Ack | Answer::Skip, _)
            | (Answer::Fail | Answer::DeadLetter, OnUnhandled::Skip) => {
                partition.complete(offset);
                false
            }
            (Answer::Retry(time), _) => {
                partition.park(offset, self.now + after(time), true);
                false
            }
            (Answer::Defer(time), _) => {
                partition.park(offset, self.now + after(time), false);
                false
            }
            (Answer::Fail | Answer::DeadLetter, OnUnhandled::PausePartition { resume_after }) => {
                partition.park(offset, self.now + resume_after, true);
                partition.pause(self.now + resume_after);
                false
            }
            (Answer::Fail | Answer::DeadLetter, OnUnhandled::Stop) => {
                partition.leave(offset, Undone::Failed, true);
                true
            }
            (Answer::Stop, _) => {
                partition.leave(offset, Undone::Stopped, false);
                true
            }
        };
        if stops {
            self.partitions.iter_mut().for_each(Partition::stop);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.engine.tick(self.now);
        for partition in &mut self.partitions {
            partition.pass(self.now);
        }
    }

    fn grant(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        self.engine.grant(partition.generation);
        partition.trials.grant();
    }

    fn ready(&mut self) {
        for partition in &self.partitions {
            let place = self.engine.index(partition.generation);
            self.engine.service_ready(place.expect("an open lane"));
        }
    }

    fn reopen(&mut self, index: usize, cancel: bool, caution: Option<Ahead>) {
        let generation = self.partitions[index].generation;
        self.engine.stop(generation);
        self.partitions[index].stop();
        if cancel {
            let (cancelled, others) = std::mem::take(&mut self.running)
                .into_iter()
                .partition(|dispatch| dispatch.generation == generation);
            self.running = others;
            let cancelled: Vec<Dispatch> = cancelled;
            for dispatch in cancelled {
                let offset = dispatch.record.offset();
                self.engine.cancel(dispatch, Undone::Cancelled);
                self.partitions[index].leave(offset, Undone::Cancelled, true);
            }
        }
        let (_, undone) = self.engine.close(generation).expect("an open lane");
        self.partitions[index].closed(undone);
        self.open(index, caution);
    }

    fn check(&mut self) {
        let running = self.running.len();
        assert_eq!(self.engine.running, running);
        assert!(running <= self.bounds.max_in_flight, "{running} run");
        for partition in &self.partitions {
            partition.check(&self.bounds);
        }
        self.hear(None);
        for partition in &self.partitions {
            let is_drained = partition.stopped && partition.in_state(State::Runs) == 0;
            let told = self.drained.contains(&partition.generation);
            assert_eq!(told, is_drained, "drained");
        }
    }

    /// What the engine tells: of the last call's end just what is expected.
    fn hear(&mut self, mut expected: Option<Told>) {
        for news in self.engine.take_news() {
            match news {
                News::Drained(generation) => {
                    assert!(self.drained.insert(generation), "drained twice");
                }
                News::End(generation, offset) => self.lane(generation).tell_end(offset),
                News::Trial(generation) => self.lane(generation).tell_trial(),
                News::Failed(generation, offset, error) => {
                    let told = Told::Failed(generation, offset);
                    assert_eq!(expected.take(), Some(told), "{error}");
                    assert!(error.to_string().ends_with(&offset.to_string()), "{error}");
                }
                News::StopRequested(generation, offset) => {
                    let told = Told::StopRequested(generation, offset);
                    assert_eq!(expected.take(), Some(told));
                }
                News::WentBack(_, from, to) => panic!("from {from} back to {to}"),
            }
        }
        assert_eq!(expected, None, "not told");
    }

    fn lane(&mut self, generation: u64) -> &mut Partition {
        let partition = &mut self.partitions[self.by_generation[&generation]];
        assert_eq!(partition.generation, generation, "told of a closed lane");
        partition
    }

    /// Everything goes on until nothing is left to do.
    fn settle(&mut self) {
        for index in 0..PARTITIONS {
            if self.partitions[index].stopped {
                self.reopen(index, true, None);
            }
            self.engine.pause(self.partitions[index].generation, false);
        }
        for _ in 0..1000 {
            self.ready();
            for index in 0..PARTITIONS {
                self.grant(index);
            }
            self.pass(3600 * MILLISECOND);
            self.dispatch(&[Fate::Runs]);
            for dispatch in std::mem::take(&mut self.running) {
                self.finish(dispatch, Answer::Ack);
            }
            if self.partitions.iter().all(Partition::is_complete) {
                // Ends, and the last batch's count, are looked at with the next record.
                self.ready();
                self.dispatch(&[Fate::Runs]);
                break;
            }
        }
        self.check();
        self.partitions.iter().for_each(Partition::check_the_end);
        assert_eq!(self.engine.next_due(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        // The default one takes most of the time.
        rng_algorithm: RngAlgorithm::XorShift,
        ..ProptestConfig::with_cases(4000)
    })]

    #[test]
    fn whatever_happens_is_what_the_model_expects(
        bounds in bounds(),
        caution in caution(),
        events in vec(event(), 1..50),
    ) {
        let mut world = World::new(bounds, caution);
        for event in events {
            world.happen(event);
        }
        world.settle();
    }
}
