//! The thread that polls: hands out delivery reports, flushes, closes.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    core::{Core, Request},
    failure,
    flushed::Flushed,
    future::resolve,
};
use crate::{
    client::{
        codes::{self, Meaning, Operation},
        contact, guarded,
        native::reports::{Epoch, Events, Note, Poller, Report},
        redact::escape,
        tls,
    },
    error::PublishError,
    record::{MessageId, ProducerRecord},
};
use rdkafka::types::RDKafkaErrorCode as Code;

/// Arrivals end the wait; it bounds only how late a lost wake-up is noticed.
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// While something waits for the end, how often it is looked for.
const HURRY_WAIT: Duration = Duration::from_millis(5);
/// How often what is queued is given up while the brokers refuse this client: librdkafka tells of equal
/// errors only twice a minute, and a new connection may be taken.
const REFUSED_WAIT: Duration = Duration::from_secs(1);
/// How long records that were given up may take to be reported.
const PURGE_LIMIT: Duration = Duration::from_secs(10);

pub(super) struct Driver {
    poller: Poller,
    tally: Tally,
    delivery_timeout: Duration,
}

/// A flush or a close that has begun.
struct Pending {
    number: u64,
    request: Request,
    /// The epoch whose records a flush waits for; none before its turn.
    epoch: Option<Epoch>,
    delivered_before: u64,
    flushed: Flushed,
    /// When a close stops waiting for the reports of what it gave up.
    purged_by: Option<Instant>,
}

/// The brokers take nothing from this client, with this code and reason.
struct Refusal {
    code: i32,
    reason: String,
    /// When what was queued was given up last.
    purged: Instant,
}

/// A failure whose future was dropped.
struct Unawaited {
    error: PublishError,
    /// The pending flushes and closes that will hand it back, if they are heard.
    collected_by: Vec<u64>,
}

/// What the reports add up to.
struct Tally {
    core: Arc<Core>,
    records: [usize; 2],
    bytes: usize,
    delivered: u64,
    pending: Vec<Pending>,
    unawaited: Vec<Unawaited>,
    requests: u64,
    refused: Option<Refusal>,
    /// Why brokers can't be reached, since the last delivery.
    unreachable: Option<String>,
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
                pending: Vec::new(),
                unawaited: Vec::new(),
                requests: 0,
                refused: None,
                unreachable: None,
            },
            delivery_timeout,
        }
    }

    /// Runs until the last clone of the publisher was dropped and everything was reported.
    pub(super) fn run(mut self) {
        let core = Arc::clone(&self.tally.core);
        loop {
            let wait = if self.tally.pending.is_empty() {
                IDLE_WAIT
            } else {
                core.producer.hurry(HURRY_WAIT);
                Duration::ZERO
            };
            core.producer.poll(&mut self.poller, wait, &mut self.tally);
            let dropped = core.is_dropped();
            core.take_requests()
                .into_iter()
                .for_each(|request| self.begin(request));
            if dropped && self.tally.pending.is_empty() {
                if core.outstanding(None) == 0 {
                    return;
                }
                let limit = self.delivery_timeout.saturating_add(PURGE_LIMIT);
                self.begin(Request {
                    closes: true,
                    deadline: Instant::now().checked_add(limit),
                    reply: None,
                });
            }
            self.tally.give_up_refused();
            self.advance();
        }
    }

    fn begin(&mut self, request: Request) {
        self.tally.requests += 1;
        self.tally.pending.push(Pending {
            number: self.tally.requests,
            request,
            epoch: None,
            delivered_before: self.tally.delivered,
            flushed: Flushed::default(),
            purged_by: None,
        });
    }

    fn advance(&mut self) {
        let now = Instant::now();
        let mut index = 0;
        while let Some(pending) = self.tally.pending.get_mut(index) {
            let core = &self.tally.core;
            let late = pending.request.deadline.is_some_and(|end| now >= end);
            let over = if pending.request.is_abandoned() || core.outstanding(pending.epoch) == 0 {
                true
            } else if late && pending.request.closes {
                core.producer.purge(true);
                now >= *pending.purged_by.get_or_insert(now + PURGE_LIMIT)
            } else {
                late
            };
            if over {
                let pending = self.tally.pending.remove(index);
                self.finish(pending);
            } else {
                index += 1;
            }
        }
        self.start_epoch();
    }

    /// Gives the flushes that wait for their turn an epoch. What was counted late in the resting one
    /// must not be mixed with what comes after it was started anew.
    fn start_epoch(&mut self) {
        let core = &self.tally.core;
        let resting = core.resting_epoch();
        let pending = &mut self.tally.pending;
        let waits = |pending: &Pending| !pending.request.closes && pending.epoch.is_none();
        if core.outstanding(Some(resting)) == 0
            && pending.iter().any(waits)
            && !pending.iter().any(|pending| pending.epoch == Some(resting))
        {
            let ended = core.next_epoch();
            for pending in pending.iter_mut().filter(|pending| waits(pending)) {
                pending.epoch = Some(ended);
            }
        }
    }

    fn finish(&mut self, pending: Pending) {
        let Pending {
            number,
            request,
            epoch,
            delivered_before,
            mut flushed,
            ..
        } = pending;
        flushed.delivered = self.tally.delivered - delivered_before;
        if self.tally.core.outstanding(epoch) > 0 {
            self.poller.for_each_in_flight(|note, record| {
                if epoch.is_none_or(|epoch| note.epoch == epoch) {
                    flushed.undelivered.push(record.clone());
                }
            });
        }
        let mut heard = false;
        guarded(|| {
            heard = request
                .reply
                .is_some_and(|reply| reply.send(flushed).is_ok())
        });
        self.tally.unawaited.retain_mut(|lost| {
            let told = heard && lost.collected_by.contains(&number);
            lost.collected_by.retain(|collector| *collector != number);
            !told
        });
        guarded(|| self.tally.tell_unawaited());
    }
}

impl Tally {
    fn count(&mut self, note: Note) {
        self.records[note.epoch as usize] += 1;
        self.bytes += note.bytes as usize;
    }

    /// Logs what nobody was told and nobody will be.
    fn tell_unawaited(&mut self) {
        let lost: Vec<_> = self
            .unawaited
            .extract_if(.., |lost| lost.collected_by.is_empty())
            .collect();
        if let Some(first) = lost.first() {
            tracing::error!(
                records = lost.len(),
                first = %first.error,
                "records were lost: their publishing failed, and their futures had been dropped"
            );
        }
    }

    /// Fails what came since the brokers refused this client.
    fn give_up_refused(&mut self) {
        let waits = self.core.outstanding(None) > 0;
        if let Some(refused) = &mut self.refused
            && waits
            && refused.purged.elapsed() >= REFUSED_WAIT
        {
            refused.purged = Instant::now();
            self.purge_queue();
        }
    }

    fn purge_queue(&self) {
        self.core.producer.hand_over();
        self.core.producer.purge(false);
    }

    /// Says what is behind a code that says nothing by itself.
    fn explain(&self, report: &mut Report) {
        let is = |code: Code| report.code == code as i32;
        let purged = is(Code::PurgeQueue) || is(Code::PurgeInflight);
        let by_close = self
            .pending
            .iter()
            .any(|pending| pending.purged_by.is_some());
        let cause = if is(Code::Fatal) || (purged && !by_close) {
            let fatal = self.core.producer.fatal_error();
            fatal.or_else(|| {
                let refused = self.refused.as_ref().filter(|_| is(Code::PurgeQueue))?;
                Some((refused.code, refused.reason.clone()))
            })
        } else if is(Code::MessageTimedOut) {
            let unreachable = self.unreachable.clone();
            unreachable.map(|reason| (report.code, reason))
        } else {
            None
        };
        if let Some((code, reason)) = cause {
            report.code = code;
            report.detail_mut().reason = Some(reason);
        }
    }
}

impl Events for Tally {
    fn delivered(&mut self, note: Note) {
        self.count(note);
        self.delivered += 1;
        if self.unreachable.is_some() {
            self.unreachable = None;
            tracing::info!("records are delivered again");
        }
        if self.refused.is_some() {
            self.refused = None;
        }
    }

    fn failed(&mut self, note: Note, record: &ProducerRecord, report: &mut Report) {
        self.count(note);
        self.explain(report);
        if record.message_id.is_none() {
            report.detail_mut().message_id = Some(MessageId::new());
        }
        for pending in &mut self.pending {
            let error = failure::reported(record.clone(), report);
            match pending.purged_by {
                Some(_) => pending.flushed.undelivered.extend(error.into_record()),
                None => pending.flushed.failed.push(error),
            }
        }
    }

    fn unawaited(&mut self, mut record: ProducerRecord, report: Report) {
        if let Err(error) = resolve(&mut record, report) {
            let collected_by = self.pending.iter().map(|pending| pending.number).collect();
            self.unawaited.push(Unawaited {
                error,
                collected_by,
            });
        }
    }

    fn reported(&mut self) {
        self.core
            .reported(mem::take(&mut self.records), mem::take(&mut self.bytes));
        guarded(|| self.tell_unawaited());
    }

    fn error(&mut self, code: i32, reason: &str, fatal: bool) {
        let code = tls::refine(code, reason);
        let shown = escape(reason);
        match codes::meaning(Operation::Connect, code) {
            _ if fatal => tracing::error!(code, "the producer can't go on: {shown}"),
            Meaning::Configuration => {
                tracing::error!(code, "the brokers refuse this client: {shown}");
                // Once a record was delivered the credentials are known to be good, and one broker
                // that refuses them is worth waiting for.
                if self.delivered == 0 {
                    self.refused = Some(Refusal {
                        code,
                        reason: reason.to_owned(),
                        purged: Instant::now(),
                    });
                    self.purge_queue();
                } else {
                    self.unreachable = Some(reason.to_owned());
                }
            }
            // It follows each broken connection, whose own error says more.
            _ if code == Code::AllBrokersDown as i32 => {}
            _ if self.unreachable.is_none() => {
                let hint = match self.delivered {
                    0 => contact::hint(code),
                    _ => "",
                };
                tracing::warn!(code, "the publisher keeps trying: {shown}{hint}");
                self.unreachable = Some(reason.to_owned());
            }
            _ => tracing::debug!(code, "{shown}"),
        }
    }
}
