//! The controls: each wrong consumer under the fault that exposes it.

use std::{ops::Range, time::Duration};

use crate::{
    harness::{Harness, Result, Run, SOON, until},
    job::{Behaviour, Inside, Wrong},
    load::{Spec, publish_each},
    payload::Id,
    say,
    table::Row,
};

/// Gives the row, and whether what is wrong is in it.
type Control = fn(&Harness, &str) -> Result<(Row, bool)>;

pub(crate) const CONTROLS: [(&str, Control); 4] = [
    ("commits the highest", commits_the_highest),
    ("stores automatically", stores_automatically),
    ("no epoch check", no_epoch_check),
    ("un-assigns first", unassigns_first),
];

/// Each is a race, set up so that it is nearly always lost.
const TRIES: usize = 3;

/// Falls short unless the wrong consumer is found out.
pub(crate) fn reported(harness: &Harness, name: &str, control: Control) -> Result<Vec<Row>> {
    for tries in 1..=TRIES {
        // One that breaks off has found nothing.
        let (mut row, found) = control(harness, name).unwrap_or_else(|error| {
            say(&format!("{name}, try {tries}: {error}"));
            (Row::broken(name, &error.to_string()), false)
        });
        row.is_control = true;
        row.short.clear();
        row.other(format!("try {tries}"));
        row.require(found, || "the wrong consumer went unnoticed".to_owned());
        if found || tries == TRIES {
            return Ok(vec![row]);
        }
    }
    Err("no tries".into())
}

fn wrong<'a>(
    harness: &'a Harness,
    name: &str,
    partitions: i32,
    how: Wrong,
    long: Duration,
) -> Result<Run<'a>> {
    let mut run = Run::new(harness, name, partitions, &[], Behaviour::Sleep(long))?;
    run.fleet.job.inside = Inside::Wrong(how);
    run.fleet.job.session = Duration::from_secs(4);
    Ok(run)
}

fn commits_the_highest(harness: &Harness, name: &str) -> Result<(Row, bool)> {
    killed(harness, name, Wrong::CommitHighest)
}

fn stores_automatically(harness: &Harness, name: &str) -> Result<(Row, bool)> {
    killed(harness, name, Wrong::AutoStore)
}

/// Quick records overtake slow ones, are committed, and the process is killed.
fn killed(harness: &Harness, name: &str, how: Wrong) -> Result<(Row, bool)> {
    let mut run = wrong(harness, name, 4, how, Duration::from_secs(3))?;
    run.start_settled(1)?;
    let load = run.load(&Spec {
        rate: Some(500),
        keys: 10,
        ..run.spec()
    })?;
    until("something is committed behind slow records", SOON, || {
        Ok(run.committed()?.values().sum::<i64>() > 1000)
    })?;
    run.fleet.kill(0)?;
    let published = load.finish(&harness.runtime)?;
    let fresh = run.fleet.start()?;
    run.handles(fresh)?;
    let row = run.finish(&published)?;
    let found = row.lost > 0;
    Ok((row, found))
}

/// What completes late counts for another assignment of the same partition, whose own records are
/// committed while they run.
fn no_epoch_check(harness: &Harness, name: &str) -> Result<(Row, bool)> {
    let mut run = wrong(harness, name, 1, Wrong::NoEpoch, Duration::from_secs(20))?;
    run.start_settled(1)?;
    let one_key = |run: &Run<'_>, numbers: Range<u32>| {
        let ids = numbers.map(|seq| Id {
            producer: 0,
            key: 0,
            seq,
        });
        publish_each(&harness.runtime, &harness.brokers, &run.topic, ids)
    };
    let mut published = one_key(&run, 0..100)?;
    until("the quick ones are committed", SOON, || {
        Ok(run.committed()?.get(&0) == Some(&50))
    })?;
    // The partition is revoked, and comes back.
    let second = run.fleet.start()?;
    run.settled(2)?;
    run.fleet.stop(second)?;
    run.settled(1)?;
    published.acks.extend(one_key(&run, 100..150)?.acks);
    until("what still runs is committed", SOON, || {
        Ok(run.committed()?.get(&0) == Some(&150))
    })?;
    run.fleet.kill(0)?;
    run.fleet.job.behaviour = Behaviour::Sleep(Duration::ZERO);
    run.fleet.start()?;
    run.settled(1)?;
    let row = run.finish(&published)?;
    let found = row.lost > 0;
    Ok((row, found))
}

/// Partitions move while their records run.
fn unassigns_first(harness: &Harness, name: &str) -> Result<(Row, bool)> {
    let half = Duration::from_millis(500);
    let mut run = wrong(harness, name, 4, Wrong::UnassignFirst, half)?;
    run.start_settled(1)?;
    let load = run.load(&Spec {
        rate: Some(500),
        keys: 10,
        ..run.spec()
    })?;
    run.handles(0)?;
    let second = run.fleet.start()?;
    run.handles(second)?;
    let published = load.finish(&harness.runtime)?;
    let row = run.finish(&published)?;
    let found = row.duplicates > 0;
    Ok((row, found))
}
