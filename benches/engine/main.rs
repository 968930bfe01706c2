//! What the consumer's engine costs for each record, alone: no broker, no runtime, no service.
//!
//! ```text
//! cargo bench --bench engine --features bench-internals
//! ```
//!
//! Arguments: `--json` for one object a line, `--rounds N`.

mod counting;

use std::{env, process::ExitCode, time::Duration};

use kafka_tower::bench::{Load, Parked, Run};

const USAGE: &str =
    "usage: cargo bench --bench engine --features bench-internals -- [--json] [--rounds N]";
const RECORDS: usize = 1 << 20;
const FEW: usize = 4;
const MANY: usize = 4_000;

struct Options {
    json: bool,
    rounds: usize,
}

fn options() -> Option<Options> {
    let mut options = Options {
        json: false,
        rounds: 5,
    };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--json" => options.json = true,
            "--rounds" => options.rounds = arguments.next()?.parse().ok().filter(|n| *n > 0)?,
            _ => return None,
        }
    }
    Some(options)
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let calls = [
        ("at once", 0, false),
        ("in order", 256, false),
        ("out of order", 256, true),
    ];
    let mut runs = Vec::new();
    for (name, running, shuffled) in calls {
        for keys in [1_000, 1_000_000] {
            for lanes in [FEW, MANY] {
                let load = Load {
                    lanes,
                    keys,
                    running,
                    shuffled,
                    records: RECORDS,
                };
                let subject = format!("{name}, {keys} keys, {lanes} lanes");
                runs.push((subject, Run::new(load), Vec::new(), Vec::new()));
            }
        }
    }
    // The first round warms up. Subjects take turns, so that noise meets all of them.
    for round in 0..=options.rounds {
        for (_, run, times, allocations) in &mut runs {
            run.prepare();
            let allocated = counting::allocations();
            let started = cpu_time();
            run.go();
            let time = (cpu_time() - started).as_secs_f64();
            if round > 0 {
                times.push(time * 1e9 / per(RECORDS));
                allocations.push(per(counting::allocations() - allocated) / per(RECORDS));
            }
        }
    }
    for (subject, _, times, allocations) in runs {
        let (time, allocations) = (median(times), median(allocations));
        match options.json {
            true => println!(
                r#"{{"work":"engine","subject":"{subject}","ns_per_record":{time:.1},"allocations_per_record":{allocations:.4}}}"#
            ),
            false => println!("{subject:<44}{time:>8.1} ns{allocations:>9.4} allocations"),
        }
    }
    lanes(&options);
    stops(&options);
    ExitCode::SUCCESS
}

/// What a lane takes that has nothing to do.
fn lanes(options: &Options) {
    let load = Load {
        lanes: MANY,
        keys: 1_000,
        running: 256,
        shuffled: true,
        records: MANY * 64,
    };
    let before = counting::bytes();
    let mut run = Run::new(load);
    let fresh = counting::bytes() - before;
    run.prepare();
    run.go();
    let used = counting::bytes() - before;
    for (subject, bytes) in [("an idle lane", fresh), ("an idle lane, used", used)] {
        let bytes = bytes / MANY;
        match options.json {
            true => println!(r#"{{"work":"engine","subject":"{subject}","bytes":{bytes}}}"#),
            false => println!("{subject:<44}{bytes:>8} bytes"),
        }
    }
    drop(run);
}

/// What it takes to let go of what is parked, lane by lane.
fn stops(options: &Options) {
    for lanes in [FEW, MANY] {
        let mut parked = Parked::new(lanes, 64);
        let started = cpu_time();
        parked.stop();
        let time = (cpu_time() - started).as_secs_f64() * 1e9 / per(lanes * 64);
        let subject = format!("stopped with 64 parked each, {lanes} lanes");
        match options.json {
            true => {
                println!(r#"{{"work":"engine","subject":"{subject}","ns_per_record":{time:.1}}}"#)
            }
            false => println!("{subject:<44}{time:>8.1} ns"),
        }
    }
}

/// Of this thread: others use the same cores.
fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `clock_gettime` fills the struct.
    #[allow(unsafe_code)]
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0, "this thread's clock");
    let nanos = u32::try_from(time.tv_nsec).expect("below a second");
    Duration::new(time.tv_sec.cast_unsigned(), nanos)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn per(count: usize) -> f64 {
    count as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
