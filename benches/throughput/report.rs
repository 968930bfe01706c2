//! Medians over the rounds, and ratios within each round.

use std::time::{Duration, Instant};

/// What one subject did in one round.
pub(crate) struct Sample {
    pub(crate) subject: &'static str,
    pub(crate) records: usize,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    /// p50 and p99 of one record's way, where that was measured.
    pub(crate) latency: Option<(Duration, Duration)>,
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

    pub(crate) fn sample(&self, subject: &'static str, records: usize) -> Sample {
        Sample {
            subject,
            records,
            wall: self.wall.elapsed(),
            cpu: cpu_time() - self.cpu,
            latency: None,
        }
    }
}

/// User and system time of all threads.
fn cpu_time() -> Duration {
    // SAFETY: `getrusage` fills the struct, for which all zeros is a valid value.
    #[allow(unsafe_code)]
    let usage = unsafe {
        let mut usage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &mut usage), 0);
        usage
    };
    let duration = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.cast_unsigned())
            + Duration::from_micros(time.tv_usec.cast_unsigned())
    };
    duration(usage.ru_utime) + duration(usage.ru_stime)
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
            let latency = |pick: fn((Duration, Duration)) -> Duration| {
                let micros = |sample: &Sample| sample.latency.map(|l| pick(l).as_secs_f64() * 1e6);
                let values: Option<Vec<f64>> = samples.iter().map(micros).collect();
                values.map(|values| median(values.into_iter()))
            };
            let latency = latency(|l| l.0).zip(latency(|l| l.1));
            let work = self.work;
            if json {
                let latency = latency.map_or(String::new(), |(p50, p99)| {
                    format!(r#","p50_us":{p50:.1},"p99_us":{p99:.1}"#)
                });
                println!(
                    r#"{{"work":"{work}","subject":"{subject}","msgs_per_s":{rate:.0},"ratio_to_raw":{ratio:.3},"cpu_us_per_msg":{cpu:.3}{latency}}}"#
                );
            } else {
                let latency = latency.map_or(String::new(), |(p50, p99)| {
                    format!("   p50 {p50:.0} µs, p99 {p99:.0} µs")
                });
                println!("{work:<16}{subject:<20}{rate:>12.0}{ratio:>10.2}{cpu:>14.2}{latency}");
            }
        }
    }
}

impl Sample {
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
