//! F11: leaders die under publishers and workers.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::{
    group_log::GroupLog,
    harness::{Harness, Result, Run, until},
    job::Behaviour,
    kafka::{LOOK, leader, look, script},
    load::{Load, Spec},
    table::Row,
};

/// On a busy machine a broker starts in 90 s.
pub(super) const BROKERS_SOON: Duration = Duration::from_secs(240);
const ENOUGH: usize = 1000;

/// Three brokers, each partition on all of them and written to two at least; a leader is killed
/// again and again.
pub(crate) fn leaders(harness: &Harness) -> Result<Vec<Row>> {
    let kills = harness.pick(1, 5);
    let brief = Behaviour::Sleep(Duration::from_millis(2));
    let mut run = Run::new(harness, "F11", 12, &[], brief)?;
    let client = look(&harness.brokers, "look")?;
    run.start_settled(3)?;
    let load = run.load(&Spec {
        rate: Some(1000),
        ..run.spec()
    })?;
    goes_on(&mut run, &load)?;
    for _ in 0..kills {
        let partition = harness.random(12);
        let leader = leader(&client, &run.topic, partition)?;
        script("kill", &[&leader.to_string()])?;
        goes_on(&mut run, &load)?;
        script("start", &[&leader.to_string()])?;
        until("all replicas are in sync", BROKERS_SOON, || {
            Ok(whole(&client).unwrap_or(false))
        })?;
        goes_on(&mut run, &load)?;
    }
    let published = load.finish(&harness.runtime)?;
    let group = run.group.clone();
    let mut row = run.finish(&published)?;
    row.other(format!("{kills} leaders killed"));
    let log = GroupLog::read(&harness.brokers, &group)?;
    row.other(format!("{} rebalances", log.rebalances()));
    row.exactly_once_in_order();
    Ok(vec![row])
}

/// More records are acknowledged, and more are handled.
fn goes_on(run: &mut Run<'_>, load: &Load) -> Result<()> {
    let acked = load.acked() + ENOUGH;
    until("more records are acknowledged", BROKERS_SOON, || {
        Ok(load.acked() >= acked)
    })?;
    run.book.read()?;
    let handled = run.book.distinct + ENOUGH;
    until("more records are handled", BROKERS_SOON, || {
        run.book.read()?;
        Ok(run.book.distinct >= handled)
    })
}

/// Whether all partitions of all topics are in sync everywhere, those of the group too.
pub(super) fn whole(client: &BaseConsumer) -> Result<bool> {
    let metadata = client.fetch_metadata(None, LOOK)?;
    let mut partitions = metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions());
    Ok(partitions.all(|partition| partition.isr().len() == partition.replicas().len()))
}
