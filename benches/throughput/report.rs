//! Medians over the rounds, and ratios within each round.

use std::time::{Duration, Instant};

use crate::process::cpu_time;

/// What one subject did in one round.
pub(crate) struct Sample {
    pub(crate) subject: &'static str,
    pub(crate) records: usize,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    /// What else was measured, by name; the same in each round.
    pub(crate) extra: Vec<(&'static str, f64)>,
}

/// Wall-clock and processor time of this process, from a starting point.
pub(crate) struct Clock {
    wall: Instant,
    cpu: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            wall: Instant::now(),
            cpu: cpu_time(),
        }
    }

    pub(crate) fn wall(&self) -> Duration {
        self.wall.elapsed()
    }

    /// Wall-clock and processor time since the start.
    pub(crate) fn elapsed(&self) -> (Duration, Duration) {
        (self.wall.elapsed(), cpu_time() - self.cpu)
    }

    pub(crate) fn sample(&self, subject: &'static str, records: usize) -> Sample {
        let (wall, cpu) = self.elapsed();
        Sample::new(subject, records, wall, cpu)
    }
}

pub(crate) struct Report {
    work: &'static str,
    /// The subjects in the order of their first round; the first is what the others are held
    /// against.
    subjects: Vec<(&'static str, Vec<Sample>)>,
}

impl Report {
    pub(crate) fn new(work: &'static str) -> Self {
        Self {
            work,
            subjects: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, sample: Sample) {
        let subject = sample.subject;
        match self.subjects.iter_mut().find(|(name, _)| *name == subject) {
            Some((_, samples)) => samples.push(sample),
            None => self.subjects.push((subject, vec![sample])),
        }
    }

    pub(crate) fn print(&self, json: bool) {
        let Some((_, base)) = self.subjects.first() else {
            return;
        };
        if !json {
            println!(
                "\n{:<16}{:<20}{:>12}{:>10}{:>14}",
                "work", "subject", "records/s", "ratio", "cpu µs/record"
            );
        }
        for (subject, samples) in &self.subjects {
            let rate = median(samples.iter().map(Sample::rate));
            let rates = samples.iter().map(Sample::rate);
            let ratio = median(rates.zip(base).map(|(rate, base)| rate / base.rate()));
            let cpu = median(samples.iter().map(Sample::cpu_us));
            let work = self.work;
            let extra = samples[0]
                .extra
                .iter()
                .enumerate()
                .map(|(index, (name, _))| {
                    (*name, median(samples.iter().map(|s| s.extra[index].1)))
                });
            if json {
                let extra: String = extra
                    .map(|(name, v)| format!(r#","{name}":{v:.1}"#))
                    .collect();
                println!(
                    r#"{{"work":"{work}","subject":"{subject}","msgs_per_s":{rate:.0},"ratio_to_raw":{ratio:.3},"cpu_us_per_msg":{cpu:.3}{extra}}}"#
                );
            } else {
                let extra: String = extra.map(|(name, v)| format!("   {name} {v:.1}")).collect();
                println!("{work:<16}{subject:<20}{rate:>12.0}{ratio:>10.2}{cpu:>14.2}{extra}");
            }
        }
    }
}

impl Sample {
    pub(crate) fn new(
        subject: &'static str,
        records: usize,
        wall: Duration,
        cpu: Duration,
    ) -> Self {
        Self {
            subject,
            records,
            wall,
            cpu,
            extra: Vec::new(),
        }
    }

    /// Two stretches as one.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.records += other.records;
        self.wall += other.wall;
        self.cpu += other.cpu;
        self
    }

    pub(crate) fn with(mut self, name: &'static str, value: f64) -> Self {
        self.extra.push((name, value));
        self
    }

    /// Adds p50 and p99 of single records' ways.
    pub(crate) fn with_latency(self, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e6;
        let (p50, p99) = (at(50), at(99));
        self.with("p50_us", p50).with("p99_us", p99)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn rate(&self) -> f64 {
        self.records as f64 / self.wall.as_secs_f64()
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.records as f64
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
