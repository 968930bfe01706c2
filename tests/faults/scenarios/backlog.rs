//! F9: a large backlog before handlers that are blocked.

use std::{
    fs::File,
    thread,
    time::{Duration, Instant},
};

use crate::{
    group_log::GroupLog,
    harness::{Harness, Result, Run, SOON, until},
    job::Behaviour,
    load::Spec,
    table::Row,
};

const MIB: u64 = 1 << 20;

/// The memory stays bounded, the member stays in its group, and then goes on.
pub(crate) fn blocked(harness: &Harness) -> Result<Vec<Row>> {
    const MAX: u64 = 64 * MIB;
    /// What is not the records': clients, runtime, allocator.
    const BESIDE: u64 = 64 * MIB;
    const SIZE: u64 = 10 << 10;
    let backlog = harness.pick(256 * MIB, 1024 * MIB);
    let blocked = Duration::from_secs(harness.pick(20, 60));
    // Not kept for longer than this run needs it.
    let config = [("retention.ms", "600000")];
    let mut run = Run::new(harness, "F9", 12, &config, Behaviour::Gate("".into()))?;
    let gate = run.dir.join("gate");
    run.fleet.job.behaviour = Behaviour::Gate(gate.clone());
    run.fleet.job.max_bytes = usize::try_from(MAX)?;
    run.fleet.job.session = Duration::from_secs(15);
    run.fleet.job.max_poll_interval = Duration::from_secs(15);
    let published = run.fill(&Spec {
        total: Some(u32::try_from(backlog / SIZE)?),
        size: usize::try_from(SIZE)?,
        ..run.spec()
    })?;
    let worker = run.fleet.start()?;
    let before = run.fleet.resident(worker)?;
    run.settled(1)?;
    let generations = GroupLog::read(&harness.brokers, &run.group)?.rebalances();
    let mut most = before;
    let begun = Instant::now();
    // This is how long the fault lasts.
    while begun.elapsed() < blocked {
        most = most.max(run.fleet.resident(worker)?);
        thread::sleep(Duration::from_millis(100));
    }
    let growth = most - before;
    File::create(gate)?;
    until("something is handled", SOON, || {
        run.book.read()?;
        Ok(run.book.distinct > 0)
    })?;
    run.settle(&published)?;
    let after = GroupLog::read(&harness.brokers, &run.group)?.rebalances();
    let mut row = run.finish(&published)?;
    row.other(format!(
        "{} MiB backlog, {} s blocked, memory grew by {} MiB",
        backlog / MIB,
        blocked.as_secs(),
        growth / MIB
    ));
    row.other(format!("{} rebalances", after - generations));
    row.require(growth <= MAX + BESIDE, || {
        format!("memory grew by more than {} MiB", (MAX + BESIDE) / MIB)
    });
    row.require(after == generations, || "a rebalance".to_owned());
    row.exactly_once_in_order();
    Ok(vec![row])
}
