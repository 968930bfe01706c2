//! F2 and F3: workers that come and go, and one that stands still for longer than its session.

use std::time::Duration;

use crate::{
    group_log::GroupLog,
    harness::{Harness, Result, Run},
    job::{Behaviour, Protocol},
    load::Spec,
    table::Row,
};

const PARTITIONS: i32 = 12;
const RATE: u32 = 1000;

/// F2: graceful joins and leaves, by each protocol.
pub(crate) fn joins_and_leaves(harness: &Harness) -> Result<Vec<Row>> {
    let protocols = [
        ("F2 range", Protocol::Range),
        ("F2 cooperative", Protocol::Cooperative),
        ("F2 consumer", Protocol::Consumer),
    ];
    let row = |(name, protocol)| {
        let row = come_and_go(harness, name, protocol);
        Ok(row.unwrap_or_else(|error| Row::broken(name, &error.to_string())))
    };
    protocols.into_iter().map(row).collect()
}

fn come_and_go(harness: &Harness, name: &str, protocol: Protocol) -> Result<Row> {
    // One half joins, the other half leaves.
    let pairs = harness.pick(2, 15);
    let brief = Behaviour::Sleep(Duration::from_millis(3));
    let mut run = Run::new(harness, name, PARTITIONS, &[], brief)?;
    run.fleet.job.protocol = protocol;
    let load = run.load(&Spec {
        rate: Some(RATE),
        ..run.spec()
    })?;
    for _ in 0..2 {
        let first = run.fleet.start()?;
        run.handles(first)?;
    }
    for _ in 0..pairs {
        let fresh = run.fleet.start()?;
        run.handles(fresh)?;
        harness.random_pause(Duration::from_millis(500));
        let workers = run.fleet.numbers();
        run.fleet.stop(workers[harness.random(workers.len())])?;
        harness.random_pause(Duration::from_millis(500));
    }
    let published = load.finish(&harness.runtime)?;
    let group = run.group.clone();
    let mut row = run.finish(&published)?;
    let log = GroupLog::read(&harness.brokers, &group)?;
    row.other(format!("{} joins and leaves", pairs * 2));
    row.other(format!("{} rebalances", log.rebalances()));
    // Each worker that came got partitions, the first two as well; a leave may fall into the
    // rebalance of the next join. Fewer would mean that nothing was tested.
    let expected = pairs + 2;
    row.require(log.rebalances() >= expected, || {
        format!("expected at least {expected} rebalances")
    });
    row.exactly_once_in_order();
    Ok(row)
}

/// F3: a worker stands still until the group has given its partitions away, then goes on.
pub(crate) fn zombies(harness: &Harness) -> Result<Vec<Row>> {
    const SESSION: Duration = Duration::from_secs(4);
    let stops = harness.pick(1, 10);
    let brief = Behaviour::Sleep(Duration::from_millis(3));
    let mut run = Run::new(harness, "F3", PARTITIONS, &[], brief)?;
    run.fleet.job.session = SESSION;
    // So that what it has not committed when it stands still is nearly always something.
    run.fleet.job.commit_interval = Duration::from_millis(200);
    run.start_settled(3)?;
    let load = run.load(&Spec {
        rate: Some(RATE),
        ..run.spec()
    })?;
    for _ in 0..stops {
        harness.random_pause(Duration::from_millis(1000));
        let workers = run.fleet.numbers();
        let zombie = workers[harness.random(workers.len())];
        run.fleet.pause(zombie)?;
        run.settled(workers.len() - 1)?;
        run.fleet.resume(zombie)?;
        run.settled(workers.len())?;
        run.handles(zombie)?;
    }
    let published = load.finish(&harness.runtime)?;
    let group = run.group.clone();
    let mut row = run.finish(&published)?;
    let log = GroupLog::read(&harness.brokers, &group)?;
    row.other(format!("{stops} stops"));
    row.other(format!(
        "{} of {} commits went back",
        log.went_back(),
        log.commits()
    ));
    row.nothing_lost();
    // The new owner begins at what was committed when it got the partition. Whatever the old one
    // commits afterwards is either behind what the new one has committed, or ahead of its next.
    row.require(log.went_back() == 0, || {
        format!("{} commits of a zombie were accepted", log.went_back())
    });
    row.require(log.commits() > 0, || "no commits were seen".to_owned());
    Ok(vec![row])
}
