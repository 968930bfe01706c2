//! What the faults share: the cluster, a folder for each run, and how to wait.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use kafka_tower::BoxError;
use tokio::runtime::Runtime;

use crate::{
    fleet::Fleet,
    job::{Behaviour, Inside, Job, Protocol},
    kafka,
    ledger::{Book, now},
    load::{Load, Published, Spec},
    table::Row,
    verify::verify,
};

pub(crate) type Result<T> = std::result::Result<T, BoxError>;

/// How long a condition may take to come true, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(120);
/// When nothing new is handled for so long, nothing will come any more: longer than a session and
/// the rebalance after it.
const QUIET: Duration = Duration::from_secs(40);
pub(crate) const WINDOW: usize = 256;

/// Waits for a condition, which `what` puts into words.
pub(crate) fn until(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let end = Instant::now() + limit;
    while !condition()? {
        if Instant::now() > end {
            return Err(format!("not within {limit:?}: {what}").into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

pub(crate) struct Harness {
    pub(crate) brokers: String,
    /// Where each fault has its folder.
    pub(crate) dir: PathBuf,
    pub(crate) short: bool,
    pub(crate) runtime: Runtime,
    random: Cell<u64>,
}

impl Harness {
    pub(crate) fn new(brokers: String, dir: PathBuf, short: bool) -> Result<Self> {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH)?;
        Ok(Self {
            brokers,
            dir,
            short,
            runtime: Runtime::new()?,
            random: Cell::new(clock.as_secs() | 1),
        })
    }

    /// A number of the short set, or one of the full set.
    pub(crate) fn pick<T>(&self, short: T, full: T) -> T {
        if self.short { short } else { full }
    }

    /// A random number below `bound` (xorshift).
    pub(crate) fn random(&self, bound: usize) -> usize {
        let mut state = self.random.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.random.set(state);
        (state >> 33) as usize % bound
    }

    /// Lets a random time pass, up to `most`: faults come when they come.
    pub(crate) fn random_pause(&self, most: Duration) {
        let most = usize::try_from(most.as_millis()).unwrap_or(usize::MAX);
        thread::sleep(Duration::from_millis(self.random(most) as u64));
    }
}

/// One run: a topic and a group of its own, workers, and what they have handled.
pub(crate) struct Run<'a> {
    pub(crate) harness: &'a Harness,
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) partitions: i32,
    pub(crate) fleet: Fleet,
    pub(crate) book: Book,
    /// What went wrong beside the records.
    pub(crate) short: Vec<String>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        harness: &'a Harness,
        name: &str,
        partitions: i32,
        topic_config: &[(&str, &str)],
        behaviour: Behaviour,
    ) -> Result<Self> {
        let unique = name.replace(' ', "-");
        let dir = harness.dir.join(&unique);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        let topic = format!("{unique}-{}", now());
        let group = format!("group-{topic}");
        let (runtime, brokers) = (&harness.runtime, &harness.brokers);
        kafka::create_topic(runtime, brokers, &topic, partitions, topic_config)?;
        let job = Job {
            worker: 0,
            brokers: brokers.clone(),
            topic: topic.clone(),
            group: group.clone(),
            ledger: dir.join("handled"),
            inside: Inside::KafkaTower,
            protocol: Protocol::Cooperative,
            behaviour,
            timeout: Duration::from_secs(3600),
            max_in_flight: WINDOW,
            max_bytes: 64 << 20,
            commit_interval: Duration::from_secs(1),
            drain: Duration::from_secs(10),
            session: Duration::from_secs(20),
            max_poll_interval: Duration::from_secs(60),
            set: Vec::new(),
        };
        Ok(Self {
            harness,
            name: name.to_owned(),
            book: Book::open(&job.ledger)?,
            fleet: Fleet::new(dir.clone(), job),
            dir,
            topic,
            group,
            partitions,
            short: Vec::new(),
        })
    }

    /// Starts workers, and waits until they share all partitions out.
    pub(crate) fn start_settled(&mut self, workers: usize) -> Result<()> {
        for _ in 0..workers {
            self.fleet.start()?;
        }
        self.settled(workers)
    }

    /// Waits until a number of members share all partitions out; not for the new protocol.
    pub(crate) fn settled(&self, workers: usize) -> Result<()> {
        let client = kafka::look(&self.harness.brokers, &self.group)?;
        until("the group is settled", SOON, || {
            kafka::is_settled(&client, &self.group, workers, self.partitions)
        })
    }

    pub(crate) fn spec(&self) -> Spec {
        Spec {
            topic: self.topic.clone(),
            producer: 0,
            first_key: 0,
            keys: 1000,
            rate: None,
            total: None,
            size: 100,
        }
    }

    pub(crate) fn load(&self, spec: &Spec) -> Result<Load> {
        let (runtime, brokers) = (&self.harness.runtime, &self.harness.brokers);
        Load::start(runtime, brokers, spec, &self.dir)
    }

    /// Publishes a limited number.
    pub(crate) fn fill(&self, spec: &Spec) -> Result<Published> {
        self.load(spec)?.drain(&self.harness.runtime)
    }

    /// Waits until a worker has handled a record that it began from now on.
    pub(crate) fn handles(&mut self, worker: u32) -> Result<()> {
        let moment = now();
        let what = format!("worker {worker} handles a record");
        until(&what, SOON, || {
            self.book.read()?;
            Ok(self.book.handles_since(worker, moment))
        })
    }

    /// Waits until everything is handled, or until nothing new is for a long time.
    pub(crate) fn settle(&mut self, published: &Published) -> Result<()> {
        let mut best = 0;
        let mut since = Instant::now();
        loop {
            self.book.read()?;
            if self.book.distinct > best {
                best = self.book.distinct;
                since = Instant::now();
            }
            if best >= published.acks.len() && self.all_handled(published) {
                return Ok(());
            }
            if since.elapsed() > QUIET {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn all_handled(&self, published: &Published) -> bool {
        let mut ids = published.acks.iter().map(|ack| ack.id);
        ids.all(|id| self.book.times(id.key, id.seq) > 0)
    }

    /// Ends it: everything is handled, the workers are stopped. What came of it, to be judged.
    pub(crate) fn finish(mut self, published: &Published) -> Result<Row> {
        self.settle(published)?;
        self.stop_all();
        self.row(published)
    }

    pub(crate) fn stop_all(&mut self) {
        let wrong = self.fleet.stop_all();
        self.short.extend(wrong);
    }

    pub(crate) fn row(mut self, published: &Published) -> Result<Row> {
        self.book.read()?;
        let findings = verify(&published.acks, &self.book.lines);
        let unexpected = findings.unexpected;
        let mut row = Row::new(&self.name, findings);
        // What failed to be published may have been written all the same.
        let failed = published.failed.len();
        row.require(unexpected <= failed, || {
            format!("{unexpected} handled that weren't acknowledged")
        });
        if failed > 0 {
            row.other(format!("{failed} not published"));
        }
        row.short.append(&mut self.short);
        row.short.extend(self.book.damaged.iter().take(3).cloned());
        Ok(row)
    }

    /// Waits until everything is committed, also what was handled before and came again. What is
    /// missing after a while falls short.
    pub(crate) fn committed_to_the_end(&mut self) -> Result<()> {
        let ends = self.ends()?;
        let mut committed = BTreeMap::new();
        let reached = until("the end is committed", SOON, || {
            // A broker that answers late is asked again.
            if let Ok(now) = self.committed() {
                committed = now;
            }
            Ok(committed == ends)
        });
        if reached.is_err() {
            let short = format!("committed {committed:?} of {ends:?}");
            self.short.push(short);
        }
        Ok(())
    }

    pub(crate) fn ends(&self) -> Result<BTreeMap<i32, i64>> {
        kafka::ends(&self.harness.brokers, &self.topic, self.partitions)
    }

    pub(crate) fn committed(&self) -> Result<BTreeMap<i32, i64>> {
        let brokers = &self.harness.brokers;
        kafka::committed(brokers, &self.group, &self.topic, self.partitions)
    }
}
