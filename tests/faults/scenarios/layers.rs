//! F8, `down` and `hour`: dead letters that can't be written, a dependency that is down, records that
//! wait long.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    thread::sleep,
    time::Duration,
};

use rdkafka::Message;

use super::brokers::{BROKERS_SOON, whole};
use crate::{
    group_log::GroupLog,
    harness::{Harness, Result, Run, SOON, until},
    job::{Behaviour, Inside, Trouble, is_poison},
    kafka::{create_topic, create_topic_alone, ends, lags, leader, look, read, script},
    load::{Spec, publish_each},
    payload::Id,
    stack::DEAD,
    table::Row,
};

fn run<'a>(
    harness: &'a Harness,
    name: &str,
    partitions: i32,
    trouble: Trouble,
) -> Result<(Run<'a>, String)> {
    let none = Behaviour::Sleep(Duration::ZERO);
    let mut run = Run::new(harness, name, partitions, &[], none)?;
    run.fleet.job.inside = Inside::Stack(trouble);
    let dead = format!("{}{DEAD}", run.topic);
    Ok((run, dead))
}

/// F8: one record in a hundred is poison, and the broker that has the dead-letter topic is away.
pub(crate) fn dead_letters(harness: &Harness) -> Result<Vec<Row>> {
    let away = Duration::from_secs(harness.pick(15, 60));
    let (mut run, dead) = run(harness, "F8", 12, Trouble::Poison)?;
    create_topic_alone(&harness.runtime, &harness.brokers, &dead)?;
    let client = look(&harness.brokers, "look")?;
    run.start_settled(1)?;
    let before = run.fill(&Spec {
        total: Some(5000),
        ..run.spec()
    })?;
    run.settle(&before)?;
    let leader = leader(&client, &dead, 0)?.to_string();
    script("kill", &[&leader])?;
    let load = run.load(&Spec {
        producer: 1,
        first_key: 1000,
        rate: Some(1000),
        ..run.spec()
    })?;
    sleep(away);
    let committed = run.committed()?;
    script("start", &[&leader])?;
    until("all replicas are in sync", BROKERS_SOON, || {
        Ok(whole(&client).unwrap_or(false))
    })?;
    let mut published = load.finish(&harness.runtime)?;
    // None of the second producer's can have had its dead letter at that moment.
    let mut firsts = BTreeMap::new();
    for ack in published.acks.iter().filter(|ack| is_poison(ack.id)) {
        let first = firsts.entry(ack.partition).or_insert(ack.offset);
        *first = ack.offset.min(*first);
    }
    let past = firsts
        .iter()
        .filter(|(partition, first)| committed.get(partition).copied() > **first);
    let past = past.count();
    published.acks.extend(before.acks);
    let (brokers, group) = (harness.brokers.clone(), run.group.clone());
    let mut row = run.finish(&published)?;
    let mut letters = Vec::new();
    read(&brokers, &dead, |message| {
        letters.push(Id::read(message.key(), message.payload()));
    })?;
    let count = letters.len();
    let letters: BTreeSet<Id> = letters.into_iter().collect::<std::result::Result<_, _>>()?;
    let poison = published.acks.iter().map(|ack| ack.id);
    let poison: BTreeSet<Id> = poison.filter(|id| is_poison(*id)).collect();
    row.other(format!(
        "{} poison, {count} dead letters, {} of them twice, {} s without their broker",
        poison.len(),
        count - letters.len(),
        away.as_secs()
    ));
    row.require(letters == poison, || {
        format!("{} poison and {} dead letters", poison.len(), letters.len())
    });
    row.require(past == 0 && !firsts.is_empty(), || {
        format!(
            "{past} of {} partitions committed past a failure",
            firsts.len()
        )
    });
    row.exactly_once_in_order();
    super::gaps::no_lag(&mut row, &lags(&group)?);
    Ok(vec![row])
}

/// What the handlers need is down for a while: nothing is a dead letter, no attempt is counted.
pub(crate) fn down(harness: &Harness) -> Result<Vec<Row>> {
    let away = Duration::from_secs(harness.pick(15, 300));
    let file = harness.dir.join("is-up");
    let _ = fs::remove_file(&file);
    let (mut run, dead) = run(harness, "down", 4, Trouble::Down(file.clone()))?;
    create_topic(&harness.runtime, &harness.brokers, &dead, 1, &[])?;
    run.start_settled(1)?;
    let generations = GroupLog::read(&harness.brokers, &run.group)?.rebalances();
    let load = run.load(&Spec {
        rate: Some(100),
        ..run.spec()
    })?;
    sleep(away);
    fs::write(&file, "")?;
    let published = load.finish(&harness.runtime)?;
    let group = run.group.clone();
    run.settle(&published)?;
    run.stop_all();
    let late = run
        .book
        .lines
        .iter()
        .filter(|line| line.attempt != 1)
        .count();
    let mut row = run.row(&published)?;
    let letters: i64 = ends(&harness.brokers, &dead, 1)?.values().sum();
    let after = GroupLog::read(&harness.brokers, &group)?.rebalances();
    row.other(format!(
        "{} s down, {letters} dead letters, {late} with an attempt counted, {} rebalances",
        away.as_secs(),
        // The last one is the worker leaving.
        after - generations
    ));
    row.require(letters == 0 && late == 0, || {
        format!("{letters} dead letters, {late} with an attempt counted")
    });
    row.require(after - generations <= 1, || "a rebalance".to_owned());
    row.exactly_once_in_order();
    super::gaps::no_lag(&mut row, &lags(&group)?);
    Ok(vec![row])
}

/// As many keys as may run at a time wait for an hour: they hold up neither others nor the end.
pub(crate) fn hour(harness: &Harness) -> Result<Vec<Row>> {
    const KEYS: u32 = 8;
    /// Far longer than it takes to end when nothing runs.
    const DRAIN: Duration = Duration::from_secs(60);
    let (mut run, dead) = run(harness, "hour", 1, Trouble::Hour(KEYS))?;
    create_topic(&harness.runtime, &harness.brokers, &dead, 1, &[])?;
    run.fleet.job.max_in_flight = KEYS as usize;
    run.fleet.job.drain = DRAIN;
    run.fleet.job.max_poll_interval = DRAIN * 3;
    run.start_settled(1)?;
    let generations = GroupLog::read(&harness.brokers, &run.group)?.rebalances();
    let waiting = run.fill(&Spec {
        keys: KEYS,
        total: Some(KEYS),
        ..run.spec()
    })?;
    let ninth = Id {
        producer: 1,
        key: KEYS,
        seq: 0,
    };
    let (runtime, brokers) = (&harness.runtime, &harness.brokers);
    let published = publish_each(runtime, brokers, &run.topic, [ninth])?;
    until("the ninth key is handled", SOON, || {
        run.book.read()?;
        Ok(run.book.times(KEYS, 0) > 0)
    })?;
    let after = GroupLog::read(&harness.brokers, &run.group)?.rebalances();
    let ended = run.fleet.stop(0)?;
    let log = fs::read_to_string(run.dir.join("worker-0.log"))?;
    let undone = log.lines().find(|line| line.starts_with("undone: "));
    let named = waiting.acks.iter().filter(|ack| {
        let offset = ack.offset.unwrap_or(-1);
        let shown = format!("/0 offset {offset} (waiting for its next dispatch)");
        undone.is_some_and(|line| line.contains(&shown))
    });
    let named = named.count();
    let mut row = run.row(&published)?;
    row.exactly_once_in_order();
    row.other(format!(
        "ended in {} ms, {named} of {KEYS} named, {} rebalances",
        ended.as_millis(),
        after - generations
    ));
    row.require(ended < DRAIN, || {
        format!("the process took {ended:?} to end")
    });
    row.require(named == KEYS as usize, || {
        format!("the summary names {named} of {KEYS}")
    });
    row.require(after == generations, || "a rebalance".to_owned());
    Ok(vec![row])
}
