//! F7, `stuck`, `slow` and `abort`: handlers that hang, panic, never return, take long, or end the
//! process.

use std::time::{Duration, Instant};

use crate::{
    group_log::GroupLog,
    harness::{Harness, Result, Run, SOON, until},
    job::{Behaviour, hangs, panics},
    load::Spec,
    table::Row,
};

const KEYS: u32 = 1000;

/// F7: of a hundred keys one hangs until it is given up, and one panics.
pub(crate) fn hang_and_panic(harness: &Harness) -> Result<Vec<Row>> {
    const BRIEF: Duration = Duration::from_millis(40);
    let total = harness.pick(20_000, 40_000);
    let (sound, healthy) = throughput(harness, "F7 healthy", total, Behaviour::Sleep(BRIEF))?;
    let (mut row, faulty) = throughput(harness, "F7", total, Behaviour::Faulty(BRIEF))?;
    row.require(sound.short.is_empty(), || {
        format!("without any fault: {}", sound.short.join("; "))
    });
    let percent = faulty / healthy * 100.0;
    row.other(format!(
        "other keys {faulty:.0}/s of {healthy:.0}/s = {percent:.0} %"
    ));
    row.require(percent >= 90.0, || {
        format!("other keys keep {percent:.0} % of their throughput")
    });
    Ok(vec![row])
}

/// How many records a second are handled of the keys that neither hang nor panic.
fn throughput(
    harness: &Harness,
    name: &str,
    total: u32,
    behaviour: Behaviour,
) -> Result<(Row, f64)> {
    const LIMIT: Duration = Duration::from_secs(20);
    /// After this time a handler that hangs is given up.
    const HANG: Duration = Duration::from_secs(2);
    let mut run = Run::new(harness, name, 12, &[], behaviour)?;
    run.fleet.job.timeout = HANG;
    let published = run.fill(&Spec {
        keys: KEYS,
        total: Some(total),
        ..run.spec()
    })?;
    let is_other = |key| !hangs(key) && !panics(key);
    let others = published.acks.iter().filter(|ack| is_other(ack.id.key));
    let others = others.count();
    run.start_settled(1)?;
    let generations = GroupLog::read(&harness.brokers, &run.group)?.rebalances();
    let begun = Instant::now();
    // Not the last few: with their keys at an end, fewer and fewer run side by side.
    let enough = others * 9 / 10;
    let mut counted = Vec::new();
    while counted.len() < enough && begun.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(20));
        run.book.read()?;
        let lines = run.book.lines.iter();
        counted = lines.filter(|line| is_other(line.id.key)).collect();
    }
    counted.truncate(enough);
    let (Some(first), Some(last)) = (counted.first(), counted.last()) else {
        return Err("nothing was handled".into());
    };
    let took = Duration::from_micros(last.end - first.start);
    let rate = counted.len() as f64 / took.as_secs_f64();
    let after = GroupLog::read(&harness.brokers, &run.group)?.rebalances();
    // The keys that hang would take long: what counts as lost is what was committed unhandled.
    run.stop_all();
    run.book.read()?;
    let committed = run.committed()?;
    let lost = published.acks.iter().filter(|ack| {
        let committed = committed.get(&ack.partition).copied();
        ack.offset < committed && run.book.times(ack.id.key, ack.id.seq) == 0
    });
    let lost = lost.count();
    let mut row = run.row(&published)?;
    row.lost = lost;
    row.examples.retain(|example| !example.starts_with("lost"));
    row.other = vec![format!("{} rebalances", after - generations)];
    row.require(after == generations, || "a rebalance".to_owned());
    row.exactly_once_in_order();
    Ok((row, rate))
}

/// A handler that never returns: shutdown doesn't wait for it longer than it says, and its record
/// comes again.
pub(crate) fn stuck(harness: &Harness) -> Result<Vec<Row>> {
    const DRAIN: Duration = Duration::from_secs(5);
    /// For what an end takes besides, on a busy machine.
    const BESIDE: Duration = Duration::from_secs(20);
    let behaviour = Behaviour::Stuck { key: 3, seq: 5 };
    let mut run = Run::new(harness, "stuck", 4, &[], behaviour)?;
    run.fleet.job.drain = DRAIN;
    run.start_settled(1)?;
    let published = run.fill(&Spec {
        keys: 20,
        total: Some(200),
        ..run.spec()
    })?;
    // What is behind it in its key waits for it, and in the worst case its whole partition does.
    let partition = published.acks.iter().find(|ack| ack.id.key == 3);
    let partition = partition.ok_or("no such key")?.partition;
    let elsewhere = published
        .acks
        .iter()
        .filter(|ack| ack.partition != partition);
    let elsewhere: Vec<_> = elsewhere.map(|ack| ack.id).collect();
    until("the others are handled", SOON, || {
        run.book.read()?;
        let mut ids = elsewhere.iter();
        Ok(ids.all(|id| run.book.times(id.key, id.seq) > 0))
    })?;
    let took = run.fleet.stop(0)?;
    run.book.read()?;
    let before = run.book.times(3, 5);
    run.fleet.job.behaviour = Behaviour::Sleep(Duration::ZERO);
    run.fleet.start()?;
    run.settle(&published)?;
    let again = run.book.times(3, 5);
    let mut row = run.finish(&published)?;
    row.other(format!("ended in {:.1} s", took.as_secs_f64()));
    row.require(took < DRAIN + BESIDE, || {
        format!("the process took {took:?} to end")
    });
    row.require((before, again) == (0, 1), || {
        format!("the record was handled {before} times before, {again} times after")
    });
    row.nothing_lost();
    row.in_order();
    Ok(vec![row])
}

/// Handlers that take much longer than the session and the poll interval.
pub(crate) fn slow(harness: &Harness) -> Result<Vec<Row>> {
    let interval = Duration::from_secs(harness.pick(12, 15));
    let long = interval + Duration::from_secs(5);
    let mut run = Run::new(harness, "slow", 4, &[], Behaviour::Sleep(long))?;
    run.fleet.job.session = interval;
    run.fleet.job.max_poll_interval = interval;
    run.fleet.job.drain = Duration::from_secs(3);
    run.start_settled(2)?;
    let generations = GroupLog::read(&harness.brokers, &run.group)?.rebalances();
    let published = run.fill(&Spec {
        keys: 6,
        total: Some(6),
        ..run.spec()
    })?;
    // A consumer may handle them one after the other; no news for so long is no sign of a fault.
    let in_turn = long * 6 + SOON;
    until("all are handled", in_turn, || {
        run.book.read()?;
        Ok(run.book.distinct == published.acks.len())
    })?;
    let after = GroupLog::read(&harness.brokers, &run.group)?.rebalances();
    let mut row = run.finish(&published)?;
    row.other(format!("handlers of {} s", long.as_secs()));
    row.other(format!("{} rebalances", after - generations));
    row.require(after == generations, || "a rebalance".to_owned());
    row.exactly_once_in_order();
    Ok(vec![row])
}

/// A record that kills the process is counted across restarts, and skipped at its third attempt.
pub(crate) fn abort(harness: &Harness) -> Result<Vec<Row>> {
    const RESTARTS: usize = 8;
    let behaviour = Behaviour::Abort {
        key: 3,
        seq: 5,
        before: 3,
    };
    let mut run = Run::new(harness, "abort", 4, &[], behaviour)?;
    run.fleet.job.session = Duration::from_secs(4);
    let published = run.fill(&Spec {
        keys: 20,
        total: Some(200),
        ..run.spec()
    })?;
    let mut restarts = 0;
    let mut worker = run.fleet.start()?;
    loop {
        let mut ended = None;
        until("the record is handled or the worker ends", SOON, || {
            run.book.read()?;
            ended = run.fleet.ended(worker)?;
            Ok(ended.is_some() || run.book.times(3, 5) > 0)
        })?;
        match ended {
            None => break,
            Some(libc::SIGABRT) if restarts < RESTARTS => {
                restarts += 1;
                worker = run.fleet.start()?;
            }
            Some(libc::SIGABRT) => break,
            Some(signal) => return Err(format!("the worker ended with {signal}").into()),
        }
    }
    let skipped = run.book.times(3, 5) > 0;
    // Where it is not, nobody is left to handle the others.
    if skipped {
        run.settle(&published)?;
        run.committed_to_the_end()?;
        run.stop_all();
    }
    let lags = crate::kafka::lags(&run.group)?;
    let mut row = run.row(&published)?;
    row.other(format!("{restarts} restarts"));
    row.require(skipped, || {
        format!("the record still kills after {restarts} restarts")
    });
    row.nothing_lost();
    super::gaps::no_lag(&mut row, &lags);
    Ok(vec![row])
}
