//! The consumer under faults: real processes, real signals, a real Kafka. `scripts/faults` runs it,
//! on Linux.
//!
//! The one binary is everything: the harness that publishes, breaks and judges, and, started again
//! by itself, the workers that consume.

mod fleet;
mod group_log;
mod harness;
mod job;
mod kafka;
mod ledger;
mod load;
mod payload;
mod scenarios;
mod stack;
mod table;
mod verify;
mod worker;
mod wrong;

use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use harness::{Harness, Result};
use scenarios::{FAULTS, controls};
use table::Row;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["worker", job] => return worker::run(job),
        ["list"] => list(false),
        ["list", "--short"] => list(true),
        ["table"] => dir().and_then(|dir| table::print(&rows(&dir))),
        ["run", "--short", ref faults @ ..] => run(true, faults),
        ["run", ref faults @ ..] => run(false, faults),
        ["controls"] => controls(),
        _ => Err("run it by `scripts/faults`".into()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("{error}"));
            ExitCode::from(2)
        }
    }
}

/// Progress, which isn't the result.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "faults: {line}");
}

fn dir() -> Result<PathBuf> {
    Ok(env::var_os("FAULTS_DIR").ok_or("no FAULTS_DIR")?.into())
}

/// Where the rows wait to be printed.
fn rows(dir: &Path) -> PathBuf {
    dir.join("rows")
}

fn list(short: bool) -> Result<bool> {
    for (name, _, _) in FAULTS.iter().filter(|fault| fault.1 || !short) {
        writeln!(io::stdout(), "{name}")?;
    }
    Ok(true)
}

fn harness(short: bool) -> Result<Harness> {
    Harness::new(env::var("KAFKA_BOOTSTRAP_SERVERS")?, dir()?, short)
}

fn run(short: bool, names: &[&str]) -> Result<bool> {
    let harness = harness(short)?;
    let mut hold = true;
    for (name, _, fault) in FAULTS {
        if names.contains(&name) {
            hold &= note(&harness, name, || fault(&harness))?;
        }
    }
    Ok(hold)
}

fn controls() -> Result<bool> {
    payload::self_check();
    verify::self_check();
    group_log::self_check();
    say("the verifier finds what is wrong in plain data");
    let harness = harness(false)?;
    let mut hold = true;
    for (name, control) in controls::CONTROLS {
        hold &= note(&harness, name, || {
            controls::reported(&harness, name, control)
        })?;
    }
    Ok(hold)
}

/// Runs a fault and keeps its rows. One that breaks off counts as falling short.
fn note(harness: &Harness, name: &str, fault: impl FnOnce() -> Result<Vec<Row>>) -> Result<bool> {
    say(&format!("{name} …"));
    let begun = Instant::now();
    let found = fault().unwrap_or_else(|error| vec![Row::broken(name, &error.to_string())]);
    let mut hold = true;
    for row in found {
        let seconds = begun.elapsed().as_secs();
        let (verdict, short) = (row.verdict(), row.short.join("; "));
        say(&format!("{} {verdict} {short} ({seconds} s)", row.fault));
        hold &= row.short.is_empty();
        row.append(&rows(&harness.dir))?;
    }
    Ok(hold)
}
