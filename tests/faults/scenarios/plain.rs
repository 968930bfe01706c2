//! F0 and F1: no fault, and killed workers.

use std::time::Duration;

use crate::{
    harness::{Harness, Result, Run, SOON, WINDOW, until},
    job::Behaviour,
    load::Spec,
    table::Row,
};

const PARTITIONS: i32 = 12;

/// F0: much load, no fault.
pub(crate) fn no_fault(harness: &Harness) -> Result<Vec<Row>> {
    let instant = Behaviour::Sleep(Duration::ZERO);
    let mut run = Run::new(harness, "F0", PARTITIONS, &[], instant)?;
    run.start_settled(3)?;
    let published = run.fill(&Spec {
        total: Some(harness.pick(100_000, 1_000_000)),
        ..run.spec()
    })?;
    let mut row = run.finish(&published)?;
    row.exactly_once_in_order();
    Ok(vec![row])
}

/// F1: three workers under load, one of which is killed again and again.
pub(crate) fn kills(harness: &Harness) -> Result<Vec<Row>> {
    const RATE: u32 = 2000;
    let kills = harness.pick(4, 20);
    let brief = Behaviour::Sleep(Duration::from_millis(2));
    let mut run = Run::new(harness, "F1", PARTITIONS, &[], brief)?;
    run.fleet.job.session = Duration::from_secs(4);
    run.start_settled(3)?;
    let load = run.load(&Spec {
        rate: Some(RATE),
        ..run.spec()
    })?;
    for kill in 0..kills {
        harness.random_pause(Duration::from_millis(1500));
        let workers = run.fleet.numbers();
        run.fleet.kill(workers[harness.random(workers.len())])?;
        let fresh = run.fleet.start()?;
        // Now and then the next kill comes in the middle of the rebalance.
        if kill % 4 == 2 {
            continue;
        }
        run.handles(fresh)?;
        // What is handled in a second, and so twice after a kill, is what is published in a second
        // only when the backlog of the rebalance is gone.
        until("the workers have caught up", SOON, || {
            run.book.read()?;
            Ok(run.book.distinct + RATE as usize / 4 >= load.acked())
        })?;
    }
    let published = load.finish(&harness.runtime)?;
    let mut row = run.finish(&published)?;
    row.other(format!("{kills} kills"));
    row.nothing_lost();
    row.in_order();
    row.duplicates_at_most(kills * (WINDOW + RATE as usize));
    Ok(vec![row])
}
