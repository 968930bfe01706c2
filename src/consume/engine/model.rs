//! Any events in any order, held against a model that is too simple to be wrong.

mod partition;

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use proptest::{collection::vec, prelude::*, sample::Index, test_runner::RngAlgorithm};

use self::partition::{Partition, State};
use super::*;
use crate::record::Outcome;

const MILLISECOND: Duration = Duration::from_millis(1);
const PARTITIONS: usize = 2;

#[derive(Debug, Clone)]
enum Event {
    /// Records, each with the gap before it and its key; the last one is null.
    Arrive(usize, Vec<(i64, u8)>),
    /// The partition ends, so far behind its last record.
    End(usize, i64),
    Dispatch(Vec<Fate>),
    Finish(Index, Answer),
    Pass(u32),
    Ready,
    Grant(usize),
    Pause(usize, bool),
    Stop(usize),
    StopAll,
    /// Back from the watermark; what runs is cancelled or left running.
    Reopen(usize, bool, Option<(i64, i64, i64)>),
}

/// What becomes of a record that is taken.
#[derive(Debug, Clone)]
enum Fate {
    Runs,
    AtOnce(Answer),
    Unready,
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Ack,
    Skip,
    Retry(u32),
    Defer(u32),
    DeadLetter,
    Fail,
    Stop,
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        20 => Just(Answer::Ack),
        2 => Just(Answer::Skip),
        6 => (0..4_u32).prop_map(Answer::Retry),
        4 => (0..4_u32).prop_map(Answer::Defer),
        1 => Just(Answer::DeadLetter),
        2 => Just(Answer::Fail),
        1 => Just(Answer::Stop),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let partition = 0..PARTITIONS;
    let fate = prop_oneof![
        4 => Just(Fate::Runs),
        3 => answer().prop_map(Fate::AtOnce),
        1 => Just(Fate::Unready),
    ];
    let gap = prop_oneof![6 => Just(0), 1 => 1..5_i64];
    let caution = proptest::option::weighted(0.3, (0..6_i64, 0..4_i64, 0..9_i64));
    prop_oneof![
        6 => (partition.clone(), vec((gap, 0..4_u8), 1..8)).prop_map(|(p, r)| Event::Arrive(p, r)),
        2 => (partition.clone(), 0..3_i64).prop_map(|(p, gap)| Event::End(p, gap)),
        9 => vec(fate, 1..6).prop_map(Event::Dispatch),
        12 => (any::<Index>(), answer()).prop_map(|(i, a)| Event::Finish(i, a)),
        4 => (0..4_u32).prop_map(Event::Pass),
        3 => Just(Event::Ready),
        3 => partition.clone().prop_map(Event::Grant),
        1 => (partition.clone(), any::<bool>()).prop_map(|(p, b)| Event::Pause(p, b)),
        1 => partition.clone().prop_map(Event::Stop),
        1 => Just(Event::StopAll),
        2 => (partition, any::<bool>(), caution).prop_map(|(p, b, c)| Event::Reopen(p, b, c)),
    ]
}

fn bounds() -> impl Strategy<Value = Bounds> {
    let ordering = prop_oneof![
        3 => Just(Ordering::Key),
        1 => Just(Ordering::Partition),
        1 => Just(Ordering::Unordered),
    ];
    let on_unhandled = prop_oneof![
        Just(OnUnhandled::Stop),
        Just(OnUnhandled::pause_partition(2 * MILLISECOND)),
        Just(OnUnhandled::Skip),
    ];
    (ordering, 1..6_usize, 1..5_usize, 1..15_u64, on_unhandled).prop_map(
        |(ordering, max_in_flight, max_waiting, max_offset_span, on_unhandled)| Bounds {
            ordering,
            max_in_flight,
            max_waiting,
            max_offset_span,
            on_unhandled,
        },
    )
}

struct World {
    engine: Engine,
    counts: Arc<Counts>,
    bounds: Bounds,
    now: Moment,
    partitions: Vec<Partition>,
    by_generation: HashMap<u64, usize>,
    generations: u64,
    running: Vec<Dispatch>,
}

impl World {
    fn new(bounds: Bounds) -> Self {
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
        };
        for index in 0..PARTITIONS {
            world.partitions.push(Partition::default());
            world.open(index, None);
        }
        world
    }

    fn open(&mut self, index: usize, caution: Option<(i64, i64, i64)>) {
        self.generations += 1;
        let partition = &mut self.partitions[index];
        let (opening, records, end) = partition.open(self.generations, caution);
        self.by_generation.insert(self.generations, index);
        self.engine.open(self.generations, opening);
        partition.progress.arrived(records.len());
        self.engine.arrive(self.generations, records);
        if let Some(end) = end {
            self.engine.arrive_end(self.generations, end);
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
            Event::Grant(index) => self.engine.grant(self.partitions[index].generation),
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
                let Some(mut dispatch) = self.engine.take(place) else {
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
            Answer::DeadLetter => Ok(Outcome::DeadLetter { reason: "".into() }),
            Answer::Fail => Err("broken".into()),
            Answer::Stop => Ok(Outcome::Stop),
        };
        let stale = self.counts.stale.get();
        self.engine.finish(dispatch, result, self.now);
        if self.partitions[index].generation != generation {
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

    fn ready(&mut self) {
        for partition in &self.partitions {
            let place = self.engine.index(partition.generation);
            self.engine.service_ready(place.expect("an open lane"));
        }
    }

    fn reopen(&mut self, index: usize, cancel: bool, caution: Option<(i64, i64, i64)>) {
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
        for news in self.engine.take_news() {
            if let News::Drained(generation) = news
                && let Some(partition) = self
                    .partitions
                    .iter()
                    .find(|partition| partition.generation == generation)
            {
                assert!(partition.stopped);
                assert_eq!(partition.in_state(State::Runs), 0, "drained");
            }
        }
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
                self.engine.grant(self.partitions[index].generation);
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
        events in vec(event(), 1..50),
    ) {
        let mut world = World::new(bounds);
        for event in events {
            world.happen(event);
        }
        world.settle();
    }
}
