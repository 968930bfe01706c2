//! What an engine is told and what it answers, as scripts.

mod bounds;
mod careful;
mod ends;
mod order;
mod outcomes;
mod rebalance;
mod unhandled;

use std::{
    fmt::Write,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::*;
use crate::record::Outcome;

const SECOND: Duration = Duration::from_secs(1);

fn bounds() -> Bounds {
    Bounds {
        ordering: Ordering::Key,
        max_in_flight: 100,
        max_waiting: 100,
        max_offset_span: 100,
        on_unhandled: OnUnhandled::Stop,
    }
}

fn by(ordering: Ordering) -> Bounds {
    Bounds {
        ordering,
        ..bounds()
    }
}

/// An engine, and what is running in its services.
struct Script {
    engine: Engine,
    counts: Arc<Counts>,
    now: Moment,
    running: Vec<Dispatch>,
    generations: u64,
}

impl Script {
    fn new(bounds: Bounds) -> Self {
        let counts = Arc::new(Counts::default());
        Self {
            engine: Engine::new(bounds, Arc::clone(&counts)),
            counts,
            now: Duration::ZERO,
            running: Vec::new(),
            generations: 0,
        }
    }

    /// An engine with one lane, of generation 1.
    fn one(bounds: Bounds) -> Self {
        let mut script = Self::new(bounds);
        script.lane();
        script
    }

    fn lane(&mut self) -> u64 {
        self.open(Opening::default())
    }

    fn open(&mut self, opening: Opening) -> u64 {
        self.generations += 1;
        self.engine.open(self.generations, opening);
        self.generations
    }

    /// `0a 1b 5` are records with the offsets 0, 1 and 5, of the keys `a`, `b` and null.
    fn arrive(&mut self, lane: u64, records: &str) {
        let records = records.split_whitespace().map(|record| {
            let digits = record.trim_end_matches(|c: char| c.is_ascii_lowercase());
            let offset = digits.parse().expect("an offset");
            let builder = ConsumerRecord::builder("t", 0, offset);
            match &record[digits.len()..] {
                "" => builder.build(),
                key => builder.key(key).build(),
            }
        });
        let records: Vec<_> = records.collect();
        if let Some(progress) = self.progress_of(lane) {
            progress.arrived(records.len());
        }
        self.engine.arrive(lane, records);
    }

    fn end(&mut self, lane: u64, offset: i64) {
        self.engine.arrive_end(lane, offset);
    }

    /// Begins all that may be, each call pending; `0 5#2` is offset 0, then the second attempt at
    /// offset 5.
    fn dispatch(&mut self) -> String {
        let mut begun = String::new();
        while let Some(lane) = self.engine.next_lane() {
            let mut any = false;
            while let Some(mut dispatch) = self.engine.take(lane) {
                any = true;
                self.engine.begin(&mut dispatch);
                self.engine.running(&mut dispatch);
                let separator = if begun.is_empty() { "" } else { " " };
                let offset = dispatch.record.offset();
                let _ = match dispatch.record.attempt() {
                    1 => write!(begun, "{separator}{offset}"),
                    attempt => write!(begun, "{separator}{offset}#{attempt}"),
                };
                self.running.push(dispatch);
            }
            if any {
                self.engine.list(lane);
            }
        }
        begun
    }

    /// The call that began first of those that run for this offset.
    fn call(&mut self, offset: i64) -> Dispatch {
        let of_offset = |dispatch: &Dispatch| dispatch.record.offset() == offset;
        let index = self.running.iter().position(of_offset);
        self.running.remove(index.expect("a running call"))
    }

    fn ack(&mut self, offset: i64) {
        self.finish(offset, Ok(Outcome::Ack));
    }

    fn fail(&mut self, offset: i64) {
        self.finish(offset, Err("broken".into()));
    }

    fn retry(&mut self, offset: i64, after: Duration) {
        let after = Some(after);
        self.finish(offset, Ok(Outcome::Retry { after }));
    }

    fn defer(&mut self, offset: i64, after: Duration) {
        self.finish(offset, Ok(Outcome::Defer { after }));
    }

    fn finish(&mut self, offset: i64, result: Result<Outcome, BoxError>) {
        let dispatch = self.call(offset);
        self.engine.finish(dispatch, result, self.now);
    }

    /// Drops what runs of a lane, as at the end of the time to drain.
    fn cancel(&mut self, lane: u64, why: Undone) {
        let running = std::mem::take(&mut self.running);
        for dispatch in running {
            if dispatch.generation == lane {
                self.engine.cancel(dispatch, why);
            } else {
                self.running.push(dispatch);
            }
        }
    }

    fn close(&mut self, lane: u64) -> Vec<(i64, Undone)> {
        self.engine.close(lane).expect("an open lane").1
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.engine.tick(self.now);
    }

    fn progress_of(&self, lane: u64) -> Option<Arc<Progress>> {
        let index = self.engine.index(lane)?;
        let lane = self.engine.lanes[index as usize].as_ref()?;
        Some(Arc::clone(&lane.progress))
    }

    fn progress(&self, lane: u64) -> Arc<Progress> {
        self.progress_of(lane).expect("an open lane")
    }

    fn watermark(&self, lane: u64) -> Option<i64> {
        self.progress(lane).watermark()
    }

    fn attempts(&self, lane: u64) -> Vec<(i64, u32)> {
        Vec::from_iter(self.progress(lane).attempts().made)
    }

    fn news(&mut self) -> Vec<String> {
        let told = self.engine.take_news().into_iter().map(|news| match news {
            News::Drained(lane) => format!("{lane} drained"),
            News::End(lane, offset) => format!("{lane} ends at {offset}"),
            News::Trial(lane) => format!("{lane} asks"),
            News::Failed(lane, offset, error) => format!("{lane} failed at {offset}: {error}"),
            News::StopRequested(lane, offset) => format!("{lane} stops at {offset}"),
            News::WentBack(lane, from, to) => format!("{lane} went back from {from} to {to}"),
        });
        told.collect()
    }
}
