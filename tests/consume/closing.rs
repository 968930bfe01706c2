//! What happens in a partition while it is given up.

use std::{
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt, future::select};
use kafka_tower::{
    App, BoxError, ConsumerRecord, ConsumerSettings, OnUnhandled, Outcome, ServeError, StopReason,
    Summary, Undone,
};
use tokio::{runtime::Handle, task::block_in_place};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::{
    bed::{Bed, Calls, Level, Running, committed},
    capture::logs,
    support::run,
};

const AN_HOUR: Duration = Duration::from_secs(3600);

/// KIP-848: the embedded broker takes commits while a group of this protocol rebalances.
fn settings(bed: &Bed) -> ConsumerSettings {
    bed.plain_settings()
        .set("group.protocol", "consumer")
        .set("fetch.wait.max.ms", "20")
}

/// The partition that is revoked first.
async fn revoked(bed: &Bed) -> i32 {
    let is_revoked = async |partition: i32| {
        let place = format!("(\"{}\", {partition})", bed.topic);
        logs().line(&["revoked", &place]).await;
        partition
    };
    select(is_revoked(0).boxed(), is_revoked(1).boxed())
        .await
        .factor_first()
        .0
}

/// A record that fails while its partition drains; gives what came of the member, and the calls
/// that its successor saw of the partition.
async fn fails_while_it_drains(on_unhandled: OnUnhandled) -> (Bed, i32, Running, Calls) {
    let bed = Bed::new(2).await;
    logs();
    bed.fill(5).await;
    let (calls, gate) = (Calls::default(), CancellationToken::new());
    let failing = Arc::new(AtomicI32::new(-1));
    let (opened, fails) = (gate.clone(), Arc::clone(&failing));
    let service = calls.service(move |record| {
        let (opened, fails) = (opened.clone(), Arc::clone(&fails));
        async move {
            if record.offset() == 3 {
                opened.cancelled().await;
                if record.partition() == fails.load(SeqCst) {
                    return Err(BoxError::from("out of stock"));
                }
            }
            Ok(())
        }
    });
    let first = Running::start_with(settings(&bed), service, |serve| {
        serve.on_unhandled(on_unhandled)
    });
    calls.reach(8).await;
    let next = Calls::default();
    let second = Running::start(settings(&bed), next.acking());
    let moved = revoked(&bed).await;
    failing.store(moved, SeqCst);
    gate.cancel();
    next.of(moved, 4).await;
    second.stop().await;
    (bed, moved, first, next)
}

#[test]
fn a_failure_in_a_draining_partition_ends_the_consumer() {
    run(async {
        let (bed, moved, first, next) = fails_while_it_drains(OnUnhandled::Stop).await;
        let error = first.end().await.expect_err("a failure");
        let ServeError::Unhandled {
            partition,
            offset: 3,
            source,
            summary,
            ..
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(
            (partition, source.to_string().as_str()),
            (moved, "out of stock")
        );
        let undone = (bed.topic.clone(), moved, 3, Undone::Failed);
        assert_eq!(summary.undone, [undone]);
        assert_eq!(committed(&summary)[&moved], 3);
        assert_eq!(next.offsets(moved), [3, 4]);
        assert_eq!(next.attempts(moved, 3), [2]);
    });
}

#[test]
fn a_failure_in_a_draining_partition_leaves_it_to_the_next_owner() {
    run(async {
        let pause = OnUnhandled::pause_partition(AN_HOUR);
        let (bed, moved, first, next) = fails_while_it_drains(pause).await;
        let logged = ["out of stock", &bed.topic, "its partition is paused"];
        logs().line(&logged).await;
        assert_eq!(next.offsets(moved), [3, 4]);
        assert_eq!(next.attempts(moved, 3), [2]);
        // It has nothing more to do with it.
        first
            .status(moved, "it is back", |one| one.lag == Some(0) && !one.paused)
            .await;
        let summary = first.stop().await;
        assert_eq!(summary.undone, []);
        assert_eq!(bed.committed().await, bed.all_at(5));
    });
}

#[test]
fn a_failure_in_a_draining_partition_is_skipped() {
    run(async {
        let (bed, moved, first, next) = fails_while_it_drains(OnUnhandled::Skip).await;
        let logged = ["out of stock", &bed.topic, "it is skipped"];
        logs().line(&logged).await;
        assert_eq!(next.offsets(moved), [4]);
        let summary = first.stop().await;
        assert_eq!((summary.skipped, summary.undone.len()), (1, 0));
        assert_eq!(bed.committed().await, bed.all_at(5));
    });
}

/// Blocks its thread at the fourth record, in `poll_ready` or in the call, so that nothing can cut
/// it off; then it answers, but in the partition that is `failing` only.
#[derive(Clone)]
struct Stuck {
    blocked: Level,
    gate: CancellationToken,
    failing: Arc<AtomicI32>,
    in_call: bool,
    answer: fn() -> Result<Outcome, BoxError>,
    partition: i32,
    records: i64,
}

impl Stuck {
    fn block(&self) -> Result<Outcome, BoxError> {
        let _entered = self.blocked.enter();
        block_in_place(|| Handle::current().block_on(self.gate.cancelled()));
        match self.partition == self.failing.load(SeqCst) {
            true => (self.answer)(),
            false => Ok(Outcome::Ack),
        }
    }
}

/// Makes one for each partition.
struct EachStuck(Stuck);

impl App for EachStuck {
    type Service = Stuck;

    fn topics(&self) -> Option<Vec<String>> {
        None
    }

    fn into_make_lane(self) -> impl Fn(&str, i32) -> Stuck + Send + Sync + 'static {
        move |_, partition| Stuck {
            partition,
            ..self.0.clone()
        }
    }
}

impl Service<ConsumerRecord> for Stuck {
    type Response = Outcome;
    type Error = BoxError;
    type Future = Ready<Result<Outcome, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.records += 1;
        Poll::Ready(match self.records {
            4 if !self.in_call => self.block().map(drop),
            _ => Ok(()),
        })
    }

    fn call(&mut self, record: ConsumerRecord) -> Self::Future {
        ready(match record.offset() {
            3 if self.in_call => self.block(),
            _ => Ok(Outcome::Ack),
        })
    }
}

/// A service that answers when its partition was given up without it, and another member is done
/// with it; gives the partition, and what came of the consumer.
async fn answers_too_late(
    in_call: bool,
    answer: fn() -> Result<Outcome, BoxError>,
) -> (i32, Result<Summary, ServeError>) {
    let bed = Bed::new(2).await;
    logs();
    bed.fill(5).await;
    let stuck = Stuck {
        blocked: Level::default(),
        gate: CancellationToken::new(),
        failing: Arc::new(AtomicI32::new(-1)),
        in_call,
        answer,
        partition: -1,
        records: 0,
    };
    // A test that fails isn't to wait for them.
    let _opened = stuck.gate.clone().drop_guard();
    let short = settings(&bed).drain_timeout(Duration::from_millis(50));
    let first = Running::start(short.dispatchers(2), EachStuck(stuck.clone()));
    stuck.blocked.reach(2).await;
    let next = Calls::default();
    let second = Running::start(settings(&bed), next.acking());
    let moved = revoked(&bed).await;
    next.of(moved, 4).await;
    stuck.failing.store(moved, SeqCst);
    stuck.gate.cancel();
    let result = first.end().await;
    second.stop().await;
    (moved, result)
}

#[test]
fn a_failure_counts_when_its_partition_is_given_up_already() {
    run(async {
        let (moved, result) = answers_too_late(true, || Err("out of stock".into())).await;
        let error = result.expect_err("a failure");
        let ServeError::Unhandled {
            partition,
            offset: 3,
            ..
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(partition, moved);
    });
}

#[test]
fn a_request_to_stop_counts_when_its_partition_is_given_up_already() {
    run(async {
        let (moved, result) = answers_too_late(true, || Ok(Outcome::Stop)).await;
        let stop = result.expect("no error").stop;
        let Some(StopReason::Requested {
            partition,
            offset: 3,
            ..
        }) = stop
        else {
            panic!("{stop:?}");
        };
        assert_eq!(partition, moved);
    });
}

#[test]
fn a_service_that_ends_counts_when_its_partition_is_given_up_already() {
    run(async {
        let (moved, result) = answers_too_late(false, || Err("out of service".into())).await;
        let error = result.expect_err("it ended");
        let ServeError::ServiceEnded {
            partition,
            offset: 3,
            ..
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(partition, moved);
    });
}
