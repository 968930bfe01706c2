use std::{
    future::pending,
    sync::mpsc::{Receiver, channel},
    task::Context,
};

use tokio::{
    sync::{Notify, mpsc::unbounded_channel},
    task::JoinHandle,
    time::Instant,
};
use tower::service_fn;

use super::*;
use crate::consume::control::Wake;

/// A lane without a poll thread.
struct Bench {
    events: Receiver<(u64, Event)>,
    in_hand: Arc<InHand>,
    stop: CancellationToken,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Bench {
    /// Runs a lane over `count` records; it ends behind the last unless something ends it before.
    fn run<S>(count: i64, service: S) -> Self
    where
        S: Service<ConsumerRecord, Response: Into<Outcome>, Error: Into<BoxError>>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let (sender, records) = unbounded_channel();
        for offset in 0..count {
            sender
                .send(ConsumerRecord::builder("t", 3, offset).build())
                .unwrap();
        }
        let (report, events) = channel();
        let in_hand = Arc::new(InHand::new());
        let (stop, cancel) = (CancellationToken::new(), CancellationToken::new());
        let seat = Seat {
            topic: "t".into(),
            partition: 3,
            records,
            stop: stop.clone(),
            cancel: cancel.clone(),
            reporter: Reporter {
                generation: 7,
                events: report,
                wake: Wake::default(),
                in_hand: Arc::clone(&in_hand),
                fate: Undone::Cancelled,
            },
        };
        let make = move |topic: &str, partition: i32| {
            assert_eq!((topic, partition), ("t", 3));
            service.clone()
        };
        let task = tokio::spawn(run(Arc::new(make), seat));
        Self {
            events,
            in_hand,
            stop,
            cancel,
            task,
        }
    }

    async fn ended(self) -> Vec<String> {
        let _ = self.task.await;
        self.events
            .try_iter()
            .map(|(generation, event)| {
                assert_eq!(generation, 7);
                match event {
                    Event::Completed { offset, how } => format!("{offset} {how:?}"),
                    Event::Failed { offset, error } => format!("{offset} failed: {error}"),
                    Event::ServiceEnded { offset, error } => {
                        format!("{offset} no service: {error}")
                    }
                    Event::StopRequested { offset } => format!("{offset} stop"),
                    Event::Ended { undone: None } => "ended".to_owned(),
                    Event::Ended {
                        undone: Some((offset, why)),
                    } => format!("ended: {offset} {why:?}"),
                    other => format!("{other:?}"),
                }
            })
            .collect()
    }
}

type Answer = Result<Outcome, BoxError>;

async fn panicking() -> Answer {
    panic!("oh {}", "no")
}

#[tokio::test]
async fn records_are_handled_in_order_and_an_error_ends_the_lane() {
    let bench = Bench::run(
        9,
        service_fn(async |record: ConsumerRecord| match record.offset() {
            0 => Ok(Outcome::Ack),
            1 => Ok(Outcome::Skip),
            2 => Ok(crate::Delivery::new("dlq", 0, 0, crate::MessageId::new()).into()),
            _ => Answer::Err("boom".into()),
        }),
    );
    let expected = [
        "0 Acked",
        "1 Skipped",
        "2 Moved",
        "3 failed: boom",
        "ended: 3 Failed",
    ];
    assert_eq!(bench.ended().await, expected);
}

#[tokio::test]
async fn an_unmoved_dead_letter_is_a_failure() {
    let bench = Bench::run(
        1,
        service_fn(async |_| {
            Answer::Ok(Outcome::DeadLetter {
                reason: "bad".into(),
            })
        }),
    );
    let events = bench.ended().await;
    assert!(
        events[0].ends_with("no dead-letter layer is there: bad"),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_panic_in_the_future_is_the_records_failure() {
    let bench = Bench::run(2, service_fn(|_| panicking()));
    let expected = ["0 failed: the service panicked: oh no", "ended: 0 Failed"];
    assert_eq!(bench.ended().await, expected);
}

#[tokio::test]
async fn a_panic_in_call_is_the_records_failure() {
    let bench = Bench::run(
        2,
        service_fn(|record: ConsumerRecord| {
            assert!(record.offset() < 1, "in call");
            async { Answer::Ok(Outcome::Ack) }
        }),
    );
    let expected = [
        "0 Acked",
        "1 failed: the service panicked: in call",
        "ended: 1 Failed",
    ];
    assert_eq!(bench.ended().await, expected);
}

#[derive(Clone)]
struct Unready(fn() -> Poll<Result<(), BoxError>>);

impl Service<ConsumerRecord> for Unready {
    type Response = ();
    type Error = BoxError;
    type Future = std::future::Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        (self.0)()
    }

    fn call(&mut self, _: ConsumerRecord) -> Self::Future {
        unreachable!("it was never ready")
    }
}

#[tokio::test]
async fn a_panic_in_poll_ready_is_the_records_failure() {
    let bench = Bench::run(1, Unready(|| panic!("unready")));
    let expected = ["0 failed: the service panicked: unready", "ended: 0 Failed"];
    assert_eq!(bench.ended().await, expected);
}

#[tokio::test]
async fn a_failing_poll_ready_ends_the_service() {
    let bench = Bench::run(1, Unready(|| Poll::Ready(Err("closed".into()))));
    assert_eq!(bench.ended().await, ["0 no service: closed", "ended"]);
}

#[tokio::test]
async fn a_service_that_is_not_ready_does_not_hold_up_a_stop() {
    let bench = Bench::run(1, Unready(|| Poll::Pending));
    bench.stop.cancel();
    assert_eq!(bench.ended().await, ["ended"]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_and_counts_and_a_defer_waits_only() {
    let started = Instant::now();
    let bench = Bench::run(
        1,
        service_fn(move |record: ConsumerRecord| {
            let step = (record.attempt(), started.elapsed().as_secs());
            async move {
                Answer::Ok(match step {
                    (1, 0) => Outcome::Retry {
                        after: Some(Duration::from_secs(60)),
                    },
                    (2, 60) => Outcome::Defer {
                        after: Duration::from_secs(600),
                    },
                    (2, 660) => Outcome::Retry { after: None },
                    (3, 660) => Outcome::Ack,
                    other => panic!("{other:?}"),
                })
            }
        }),
    );
    let expected = ["Retried", "Deferred", "Retried", "0 Acked", "ended"];
    assert_eq!(bench.ended().await, expected);
}

#[tokio::test]
async fn a_waiting_retry_does_not_hold_up_a_stop() {
    let called = Arc::new(Notify::new());
    let notify = Arc::clone(&called);
    let bench = Bench::run(
        1,
        service_fn(move |_| {
            notify.notify_one();
            async {
                Answer::Ok(Outcome::Retry {
                    after: Some(Duration::from_secs(3600)),
                })
            }
        }),
    );
    called.notified().await;
    bench.stop.cancel();
    assert_eq!(bench.ended().await, ["Retried", "ended: 0 Waiting"]);
}

#[tokio::test]
async fn a_stop_lets_the_running_record_finish_and_starts_no_other() {
    let (called, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (notify, wait) = (Arc::clone(&called), Arc::clone(&release));
    let bench = Bench::run(
        9,
        service_fn(move |_| {
            let wait = Arc::clone(&wait);
            notify.notify_one();
            async move {
                wait.notified().await;
                Answer::Ok(Outcome::Ack)
            }
        }),
    );
    called.notified().await;
    assert_eq!(bench.in_hand.get(), Some(0));
    bench.stop.cancel();
    release.notify_one();
    assert_eq!(bench.ended().await, ["0 Acked", "ended"]);
}

#[tokio::test]
async fn a_cancelled_record_is_named() {
    let called = Arc::new(Notify::new());
    let notify = Arc::clone(&called);
    let bench = Bench::run(
        9,
        service_fn(move |_| {
            notify.notify_one();
            pending::<Answer>()
        }),
    );
    called.notified().await;
    bench.stop.cancel();
    bench.cancel.cancel();
    assert_eq!(bench.ended().await, ["ended: 0 Cancelled"]);
}

#[tokio::test]
async fn a_service_may_stop_everything() {
    let bench = Bench::run(9, service_fn(async |_| Answer::Ok(Outcome::Stop)));
    assert_eq!(bench.ended().await, ["0 stop", "ended: 0 Stopped"]);
}

#[tokio::test]
async fn a_lane_whose_task_is_gone_says_so() {
    let called = Arc::new(Notify::new());
    let notify = Arc::clone(&called);
    let bench = Bench::run(
        9,
        service_fn(move |_| {
            notify.notify_one();
            pending::<Answer>()
        }),
    );
    called.notified().await;
    bench.task.abort();
    assert_eq!(bench.ended().await, ["ended: 0 Cancelled"]);
}
