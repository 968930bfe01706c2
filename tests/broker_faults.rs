//! The publisher while brokers die, hang and come back: what it reports is what the log holds.
//!
//! Stops brokers, so it runs only where the environment allows it:
//!
//! ```text
//! export KAFKA_PORT=39092 KAFKA_STATE=/tmp/faults-kafka
//! scripts/kafka up 3
//! eval "$(scripts/kafka env)"
//! KAFKA_FAULTS=1 cargo test --test broker_faults
//! ```

#[path = "broker_faults/cluster.rs"]
mod cluster;
#[path = "broker_faults/ledger.rs"]
mod ledger;
mod support;

use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use cluster::{ALL, Cluster, SOON, print, soon};
use futures_util::{FutureExt, StreamExt, future::join_all, stream::FuturesUnordered};
use kafka_tower::{ProducerRecord, ProducerSettings, PublishError, Publisher};
use ledger::{Sent, Verdict, publish};
use tokio::{
    runtime::Runtime,
    select,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};
use tower::ServiceExt;

const MESSAGE_TIMED_OUT: i32 = -192;
/// Longer than a partition is without a leader here.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(25);
/// How much later than its time a delivery may be given up.
const LATE: Duration = Duration::from_secs(5);
/// Long enough for the others to take over from a broker that is silent.
const HANG: Duration = Duration::from_secs(8);
const TASKS: u32 = 4;
const KEYS_OF_A_TASK: u32 = 10;
/// How many more deliveries show that the publisher goes on.
const ENOUGH: u64 = 2000;

/// A client that notices within 2 s that a broker hangs.
fn publisher(settings: ProducerSettings, delivery_timeout: Duration) -> Publisher {
    let settings = settings
        .delivery_timeout(delivery_timeout)
        .set("socket.timeout.ms", "2000")
        .set("reconnect.backoff.max.ms", "500");
    Publisher::new(settings).expect("good settings")
}

/// Tasks that publish about 8000 records a second, each for keys of its own.
struct Load {
    stop: Arc<AtomicBool>,
    delivered: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Vec<Sent>>>,
}

impl Load {
    fn start(runtime: &Runtime, publisher: &Publisher, topic: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let delivered = Arc::new(AtomicU64::new(0));
        let tasks = (0..TASKS).map(|task| {
            runtime.spawn(publish_until(
                Arc::clone(&stop),
                Arc::clone(&delivered),
                publisher.clone(),
                topic.to_owned(),
                task * KEYS_OF_A_TASK,
            ))
        });
        Self {
            tasks: tasks.collect(),
            stop,
            delivered,
        }
    }

    /// Waits for more deliveries.
    fn goes_on(&self, when: &str) {
        let before = self.delivered.load(SeqCst);
        soon(&format!("records are delivered {when}"), || {
            self.delivered.load(SeqCst) >= before + ENOUGH
        });
    }

    /// Ends it when everything that it published came to an end.
    fn stop(self, runtime: &Runtime) -> Vec<Sent> {
        self.stop.store(true, SeqCst);
        let end = Instant::now() + DELIVERY_TIMEOUT + LATE;
        let mut sent = Vec::new();
        for task in self.tasks {
            let left = end.saturating_duration_since(Instant::now());
            let ended = runtime.block_on(async { timeout(left, task).await });
            sent.extend(ended.expect("no publish hangs").expect("no panic"));
        }
        sent
    }
}

async fn publish_until(
    stop: Arc<AtomicBool>,
    delivered: Arc<AtomicU64>,
    mut publisher: Publisher,
    topic: String,
    first_key: u32,
) -> Vec<Sent> {
    let mut sent: Vec<Sent> = Vec::new();
    let mut note = |done: Sent| {
        delivered.fetch_add(u64::from(done.result.is_ok()), SeqCst);
        sent.push(done);
    };
    let mut on_their_way = FuturesUnordered::new();
    let mut pace = interval(Duration::from_millis(5));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0;
    while !stop.load(SeqCst) {
        for key in first_key..first_key + KEYS_OF_A_TASK {
            loop {
                select! {
                    Some(done) = on_their_way.next() => note(done),
                    ready = publisher.ready() => {
                        ready.expect("it is open");
                        break;
                    }
                }
            }
            on_their_way.push(publish(&mut publisher, &topic, key, number));
        }
        while let Some(Some(done)) = on_their_way.next().now_or_never() {
            note(done);
        }
        number += 1;
        pace.tick().await;
    }
    while let Some(done) = on_their_way.next().await {
        note(done);
    }
    sent
}

/// Publishes while a broker is killed and started again, then another one hangs and goes on.
fn survives(test: &str, preset: fn(String) -> ProducerSettings, with_id: bool) {
    let Some(cluster) = Cluster::to_harm(test) else {
        return;
    };
    let topic = cluster.topic("faults");
    let runtime = Runtime::new().expect("a runtime");
    let publisher = publisher(preset(cluster.brokers().to_owned()), DELIVERY_TIMEOUT);
    let load = Load::start(&runtime, &publisher, &topic);
    load.goes_on("before any fault");

    let killed = cluster.a_leader(&topic, &[]);
    cluster.kill(killed);
    cluster.led_without(&topic, killed);
    load.goes_on("while a broker is dead");
    cluster.start(killed);
    cluster.whole(&topic);
    load.goes_on("when it is back");

    let silent = cluster.a_leader(&topic, &[killed]);
    cluster.pause(&[silent]);
    // This is how long the fault lasts; nothing is waited for.
    thread::sleep(HANG);
    cluster.resume(&[silent]);
    cluster.whole(&topic);
    load.goes_on("when both are back");

    let sent = load.stop(&runtime);
    let closed = runtime.block_on(async { timeout(SOON, publisher.close(LATE)).await });
    let closed = closed.expect("it closes");
    assert_eq!((closed.failed.len(), closed.undelivered.len()), (0, 0));
    let verdict = Verdict::new(&topic, with_id, &sent, &cluster.log(&topic));
    print(&format!("{test}: {verdict}"));
    verdict.assert_good();
    // A new leader is chosen after 2 s of silence at the earliest.
    let felt = verdict.slowest > Duration::from_secs(1);
    assert!(felt, "no record had to wait for a new leader");
    let slow = sent
        .iter()
        .find(|sent| sent.took > DELIVERY_TIMEOUT + LATE)
        .map(|sent| (sent.key, sent.number, sent.took, &sent.result));
    assert!(slow.is_none(), "reported too late: {slow:?}");
    let mut last: HashMap<u32, &Sent> = HashMap::new();
    for sent in &sent {
        let of_key = last.entry(sent.key).or_insert(sent);
        if of_key.number < sent.number {
            *of_key = sent;
        }
    }
    let failed = last.values().find(|sent| sent.result.is_err());
    let failed = failed.map(|sent| &sent.result);
    assert!(failed.is_none(), "it failed on a whole cluster: {failed:?}");
}

#[test]
fn records_with_headers_survive_a_killed_and_a_hanging_broker() {
    let test = "records_with_headers_survive_a_killed_and_a_hanging_broker";
    survives(test, ProducerSettings::high_reliability, true);
}

#[test]
fn batches_without_headers_survive_a_killed_and_a_hanging_broker() {
    let test = "batches_without_headers_survive_a_killed_and_a_hanging_broker";
    survives(test, ProducerSettings::high_throughput, false);
}

/// A publisher with a short delivery timeout, and what it has published.
struct Brief {
    settings: ProducerSettings,
    publisher: Publisher,
    topic: String,
    with_id: bool,
    sent: Vec<Sent>,
    first_key: u32,
    number: u32,
}

impl Brief {
    const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
    const KEYS: u32 = 20;

    fn new(cluster: &Cluster, settings: ProducerSettings, with_id: bool) -> Self {
        Self {
            publisher: publisher(settings.clone(), Self::DELIVERY_TIMEOUT),
            settings,
            topic: cluster.topic("stopped"),
            with_id,
            sent: Vec::new(),
            first_key: 0,
            number: 0,
        }
    }

    /// Publishes some records of each key.
    async fn publish(&mut self, each: u32) -> Vec<impl Future<Output = Sent> + use<>> {
        let mut on_their_way = Vec::new();
        for _ in 0..each {
            for key in self.first_key..self.first_key + Self::KEYS {
                self.publisher.ready().await.expect("it is open");
                let sent = publish(&mut self.publisher, &self.topic, key, self.number);
                on_their_way.push(sent);
            }
            self.number += 1;
        }
        on_their_way
    }

    /// Goes on with another publisher, and other keys: the order of a key is that of one publisher.
    fn replace(&mut self) {
        self.publisher = publisher(self.settings.clone(), Self::DELIVERY_TIMEOUT);
        self.first_key += Self::KEYS;
    }

    fn delivers_again(&mut self, runtime: &Runtime) {
        soon("records are delivered again", || {
            let watched = watch(runtime, runtime.block_on(self.publish(1)));
            let sent = ended(runtime, watched);
            let delivered = sent.iter().all(|sent| sent.result.is_ok());
            self.sent.extend(sent);
            delivered
        });
    }
}

/// Waits for all of them, from now on.
fn watch(
    runtime: &Runtime,
    on_their_way: Vec<impl Future<Output = Sent> + Send + 'static>,
) -> JoinHandle<Vec<Sent>> {
    runtime.spawn(join_all(on_their_way))
}

/// What came of what is watched; nothing may hang.
fn ended(runtime: &Runtime, watched: JoinHandle<Vec<Sent>>) -> Vec<Sent> {
    let limit = Brief::DELIVERY_TIMEOUT + 2 * LATE;
    let ended = async { timeout(limit, watched).await };
    let ended = runtime.block_on(ended).expect("no publish hangs");
    ended.expect("no panic")
}

fn payloads<'a>(records: impl IntoIterator<Item = &'a ProducerRecord>) -> BTreeSet<&'a [u8]> {
    let records = records.into_iter();
    records
        .filter_map(|record| record.payload.as_deref())
        .collect()
}

#[test]
fn while_all_brokers_hang_every_record_comes_back() {
    let test = "while_all_brokers_hang_every_record_comes_back";
    let Some(cluster) = Cluster::to_harm(test) else {
        return;
    };
    let runtime = Runtime::new().expect("a runtime");
    let brokers = || cluster.brokers().to_owned();
    let mut both = [
        Brief::new(
            &cluster,
            ProducerSettings::high_reliability(brokers()),
            true,
        ),
        Brief::new(
            &cluster,
            ProducerSettings::high_throughput(brokers()),
            false,
        ),
    ];
    let publish_each = |both: &mut [Brief; 2], each| {
        both.each_mut()
            .map(|brief| watch(&runtime, runtime.block_on(brief.publish(each))))
    };

    let watched = publish_each(&mut both, 10);
    for (brief, watched) in both.iter_mut().zip(watched) {
        let sent = ended(&runtime, watched);
        let failed = sent.iter().find_map(|sent| sent.result.as_ref().err());
        assert!(failed.is_none(), "it failed on a whole cluster: {failed:?}");
        brief.sent.extend(sent);
    }

    cluster.pause(&ALL);
    let watched = publish_each(&mut both, 100);
    for (brief, watched) in both.iter_mut().zip(watched) {
        let sent = ended(&runtime, watched);
        for sent in &sent {
            let code = sent.result.as_ref().err().and_then(PublishError::code);
            assert_eq!(code, Some(MESSAGE_TIMED_OUT), "{:?}", sent.result);
            assert!(
                sent.took < Brief::DELIVERY_TIMEOUT + LATE,
                "{:?}",
                sent.took
            );
        }
        brief.sent.extend(sent);
    }

    cluster.resume(&ALL);
    for brief in &mut both {
        brief.delivers_again(&runtime);
    }

    cluster.pause(&ALL);
    let watched = publish_each(&mut both, 50);
    let begun = Instant::now();
    let deadline = Duration::from_secs(2);
    let closed = runtime.block_on(async {
        let closes = both.iter().map(|brief| brief.publisher.close(deadline));
        timeout(SOON, join_all(closes)).await
    });
    let closed = closed.expect("they close");
    assert!(begun.elapsed() < deadline + LATE, "{:?}", begun.elapsed());
    for ((brief, watched), closed) in both.iter_mut().zip(watched).zip(closed) {
        let sent = ended(&runtime, watched);
        assert_eq!((closed.delivered, closed.failed.len()), (0, 0));
        let errors = sent.iter().filter_map(|sent| sent.result.as_ref().err());
        let given_back = payloads(errors.filter_map(PublishError::record));
        assert_eq!(
            given_back.len(),
            sent.len(),
            "every future gives its record back"
        );
        assert_eq!(closed.undelivered.len(), sent.len());
        assert!(
            payloads(&closed.undelivered) == given_back,
            "close gives back the same"
        );
        brief.sent.extend(sent);
    }

    cluster.resume(&ALL);
    for brief in &mut both {
        // Until then the brokers may still read what the first publisher had sent to them.
        brief.replace();
        brief.delivers_again(&runtime);
        let log = cluster.log(&brief.topic);
        let verdict = Verdict::new(&brief.topic, brief.with_id, &brief.sent, &log);
        print(&format!("{test}: {verdict}"));
        verdict.assert_good();
    }
}
