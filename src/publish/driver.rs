//! The thread that polls: hands out delivery reports, flushes, closes.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::oneshot;

use super::{core::Core, failure, flushed::Flushed, future::resolve};
use crate::{
    client::{
        codes::{self, Meaning, Operation},
        native::reports::{Epoch, Events, Note, Poller, Report},
        redact::escape,
    },
    error::PublishError,
    record::ProducerRecord,
};

/// Arrivals end the wait; it bounds only how late a lost wake-up is noticed.
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// While something waits for the end, how often it is looked for.
const HURRY_WAIT: Duration = Duration::from_millis(5);
/// How long records that were given up may take to be reported.
const PURGE_LIMIT: Duration = Duration::from_secs(10);

pub(super) struct Driver {
    poller: Poller,
    tally: Tally,
    pending: Option<Pending>,
    delivery_timeout: Duration,
}

/// A flush or a close that has begun.
struct Pending {
    scope: Scope,
    /// `None` is never.
    deadline: Option<Instant>,
    /// When a close stops waiting for the reports of what it gave up.
    purged_by: Option<Instant>,
    delivered_before: u64,
    reply: Option<oneshot::Sender<Flushed>>,
}

/// Which records are waited for.
#[derive(Clone, Copy)]
enum Scope {
    /// A flush begins: those of the resting epoch, so that none of them, counted late, is mixed with
    /// those of the epoch that starts next.
    Stragglers,
    /// A flush: those of the epoch that it ended.
    Epoch(Epoch),
    /// A close.
    All,
}

/// What the reports add up to.
struct Tally {
    core: Arc<Core>,
    records: [usize; 2],
    bytes: usize,
    delivered: u64,
    failed: Vec<PublishError>,
    undelivered: Vec<ProducerRecord>,
    collects_failed: bool,
    purging: bool,
    unawaited: Vec<PublishError>,
    refused: Option<(i32, String)>,
}

impl Driver {
    pub(super) fn new(core: Arc<Core>, poller: Poller, delivery_timeout: Duration) -> Self {
        Self {
            poller,
            tally: Tally {
                core,
                records: [0; 2],
                bytes: 0,
                delivered: 0,
                failed: Vec::new(),
                undelivered: Vec::new(),
                collects_failed: false,
                purging: false,
                unawaited: Vec::new(),
                refused: None,
            },
            pending: None,
            delivery_timeout,
        }
    }

    /// Runs until the last clone of the publisher was dropped and everything was reported.
    pub(super) fn run(mut self) {
        let core = Arc::clone(&self.tally.core);
        loop {
            let wait = match self.pending {
                Some(_) => {
                    core.producer.hurry(HURRY_WAIT);
                    Duration::ZERO
                }
                None => IDLE_WAIT,
            };
            core.producer.poll(&mut self.poller, wait, &mut self.tally);
            if self.pending.is_none() {
                // A dropped publisher has nobody left who could ask for anything.
                let dropped = core.is_dropped();
                match core.next_request() {
                    Some(request) => self.begin(request.closes, request.deadline, request.reply),
                    None if dropped && core.outstanding(None) == 0 => return,
                    None if dropped => {
                        let limit = self.delivery_timeout.saturating_add(PURGE_LIMIT);
                        self.begin(true, Instant::now().checked_add(limit), None);
                    }
                    None => {}
                }
            }
            self.advance();
        }
    }

    fn begin(
        &mut self,
        closes: bool,
        deadline: Option<Instant>,
        reply: Option<oneshot::Sender<Flushed>>,
    ) {
        self.tally.collects_failed = true;
        self.pending = Some(Pending {
            scope: if closes {
                Scope::All
            } else {
                Scope::Stragglers
            },
            deadline,
            purged_by: None,
            delivered_before: self.tally.delivered,
            reply,
        });
    }

    fn advance(&mut self) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        let core = &self.tally.core;
        if matches!(pending.scope, Scope::Stragglers)
            && core.outstanding(Some(core.resting_epoch())) == 0
        {
            pending.scope = Scope::Epoch(core.next_epoch());
        }
        let epoch = match pending.scope {
            Scope::Epoch(epoch) => Some(epoch),
            Scope::Stragglers | Scope::All => None,
        };
        if core.outstanding(epoch) > 0 {
            let now = Instant::now();
            if pending.deadline.is_none_or(|deadline| now < deadline) {
                return;
            }
            let purged_by = *pending.purged_by.get_or_insert(now + PURGE_LIMIT);
            if matches!(pending.scope, Scope::All) && now < purged_by {
                self.tally.purging = true;
                core.producer.purge(true);
                return;
            }
            self.leave_undelivered(epoch);
        }
        self.finish();
    }

    fn leave_undelivered(&mut self, epoch: Option<Epoch>) {
        let undelivered = &mut self.tally.undelivered;
        self.poller.for_each_in_flight(|note, record| {
            if epoch.is_none_or(|epoch| note.epoch == epoch) {
                undelivered.push(record.clone());
            }
        });
    }

    fn finish(&mut self) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        let tally = &mut self.tally;
        tally.collects_failed = false;
        tally.purging = false;
        let flushed = Flushed {
            delivered: tally.delivered - pending.delivered_before,
            failed: mem::take(&mut tally.failed),
            undelivered: mem::take(&mut tally.undelivered),
        };
        let heard = match pending.reply {
            Some(reply) => reply.send(flushed).is_ok(),
            None => false,
        };
        if heard {
            tally.unawaited.clear();
        }
        tally.tell_unawaited();
    }
}

impl Tally {
    fn count(&mut self, note: Note) {
        self.records[note.epoch as usize] += 1;
        self.bytes += note.bytes as usize;
    }

    fn tell_unawaited(&mut self) {
        if let Some(first) = self.unawaited.first() {
            tracing::error!(
                records = self.unawaited.len(),
                first = %first,
                "records were lost: their publishing failed, and their futures had been dropped"
            );
            self.unawaited.clear();
        }
    }

    /// Says what is behind a code that says nothing by itself.
    fn explain(&self, report: &mut Report) {
        if report.code == Code::Fatal as i32 {
            if let Some((cause, reason)) = self.core.producer.fatal_error() {
                report.code = cause;
                report.detail = Some(Box::new(reason));
            }
        } else if report.code == Code::PurgeQueue as i32
            && !self.purging
            && let Some((code, reason)) = &self.refused
        {
            report.code = *code;
            report.detail = Some(Box::new(reason.clone()));
        }
    }
}

impl Events for Tally {
    fn delivered(&mut self, note: Note) {
        self.count(note);
        self.delivered += 1;
    }

    fn failed(&mut self, note: Note, record: &ProducerRecord, report: &mut Report) {
        self.count(note);
        self.explain(report);
        if self.purging {
            self.undelivered.push(record.clone());
        } else if self.collects_failed {
            self.failed.push(failure::reported(record.clone(), report));
        }
    }

    fn unawaited(&mut self, mut record: ProducerRecord, report: Report) {
        self.unawaited.extend(resolve(&mut record, report).err());
    }

    fn reported(&mut self) {
        self.core
            .reported(mem::take(&mut self.records), mem::take(&mut self.bytes));
        // A flush or a close hands them back, if its own future is not dropped.
        if !self.collects_failed {
            self.tell_unawaited();
        }
    }

    fn error(&mut self, code: i32, reason: &str, fatal: bool) {
        let shown = escape(reason);
        match codes::meaning(Operation::Connect, code) {
            _ if fatal => tracing::error!(code, "the producer can't go on: {shown}"),
            Meaning::Configuration => {
                tracing::error!(code, "the brokers refuse this client: {shown}");
                // Once a record was delivered the credentials are known to be good, and one broker
                // that refuses them is worth waiting for.
                if self.delivered == 0 {
                    self.refused = Some((code, reason.to_owned()));
                    self.core.producer.hand_over();
                    self.core.producer.purge(false);
                }
            }
            _ => tracing::warn!(code, "{shown}"),
        }
    }
}
