//! The hooks of a consumer's life.

use std::{future::ready, sync::Arc, time::Duration};

use kafka_tower::{BoxError, ConsumerRecord, Lifecycle, OnUnhandled, Summary, testing::Request};
use tokio::sync::watch;

use crate::{
    bed::{Bed, Calls, Running, soon},
    support::run,
};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hook {
    Creating,
    Created,
    Subscribed(Vec<String>),
    Assigned(Vec<(String, i32)>),
    Revoked(Vec<(String, i32)>),
    Received(i32, i64),
    Error(String),
    End(i32, i64),
    Stopping,
    Stopped(Summary),
}

/// The hooks that were called, in order.
#[derive(Debug, Clone, Default)]
struct Hooks(Arc<watch::Sender<Vec<Hook>>>);

impl Hooks {
    fn add(&self, hook: Hook) {
        self.0.send_modify(|hooks| hooks.push(hook));
    }

    fn all(&self) -> Vec<Hook> {
        self.0.borrow().clone()
    }

    fn count(&self, wanted: impl Fn(&Hook) -> bool) -> usize {
        self.0.borrow().iter().filter(|hook| wanted(hook)).count()
    }

    fn place(&self, wanted: &Hook) -> Option<usize> {
        self.0.borrow().iter().position(|hook| hook == wanted)
    }

    /// Waits for a hook that is as wanted.
    async fn find(&self, what: &str, wanted: impl Fn(&Hook) -> bool) {
        let mut hooks = self.0.subscribe();
        soon(what, async {
            drop(hooks.wait_for(|hooks| hooks.iter().any(&wanted)).await);
        })
        .await;
    }

    async fn end(&self, partition: i32, offset: i64) {
        let end = Hook::End(partition, offset);
        self.find(&format!("{end:?}"), |hook| *hook == end).await;
    }
}

impl Lifecycle for Hooks {
    fn creating(&mut self) {
        self.add(Hook::Creating);
    }

    fn created(&mut self) {
        self.add(Hook::Created);
    }

    fn subscribed(&mut self, topics: &[String]) {
        self.add(Hook::Subscribed(topics.to_vec()));
    }

    fn assigned(&mut self, partitions: &[(String, i32)]) {
        self.add(Hook::Assigned(partitions.to_vec()));
    }

    fn revoked(&mut self, partitions: &[(String, i32)]) {
        self.add(Hook::Revoked(partitions.to_vec()));
    }

    fn record_received(&mut self, record: &ConsumerRecord) {
        self.add(Hook::Received(record.partition(), record.offset()));
    }

    fn error(&mut self, error: &str) {
        self.add(Hook::Error(error.to_owned()));
    }

    fn partition_eof(&mut self, _topic: &str, partition: i32, offset: i64) {
        self.add(Hook::End(partition, offset));
    }

    fn stopping(&mut self) {
        self.add(Hook::Stopping);
    }

    fn stopped(&mut self, summary: &Summary) {
        self.add(Hook::Stopped(summary.clone()));
    }
}

fn is_error(hook: &Hook) -> bool {
    matches!(hook, Hook::Error(_))
}

#[test]
fn every_hook_is_called_in_order() {
    run(async {
        let bed = Bed::new(2).await;
        bed.fill(3).await;
        let (calls, hooks) = (Calls::default(), Hooks::default());
        let service = calls.service(|record| {
            ready(match (record.partition(), record.offset()) {
                (1, 1) => Err(BoxError::from("out of stock")),
                _ => Ok(()),
            })
        });
        let running = Running::start_with(bed.settings(), service, |serve| {
            let serve = serve.on_unhandled(OnUnhandled::Skip);
            serve.with_lifecycle(hooks.clone())
        });
        hooks.end(0, 3).await;
        hooks.end(1, 3).await;
        calls.reach(6).await;
        let summary = running.stop().await;

        let all = hooks.all();
        let topics = vec![bed.topic.clone()];
        let both = Vec::from([0, 1].map(|partition| (bed.topic.clone(), partition)));
        let begin = [Hook::Creating, Hook::Created, Hook::Subscribed(topics)];
        assert_eq!(all[..3], begin);
        assert_eq!(all[3], Hook::Assigned(both.clone()));
        let end = [Hook::Stopping, Hook::Revoked(both), Hook::Stopped(summary)];
        assert_eq!(all[all.len() - 3..], end);
        for partition in 0..2 {
            let places = [0, 1, 2].map(|offset| hooks.place(&Hook::Received(partition, offset)));
            assert!(places.is_sorted() && places[0].is_some(), "{all:?}");
            assert!(places[2] < hooks.place(&Hook::End(partition, 3)), "{all:?}");
        }
        let errors = Vec::from_iter(all.iter().filter(|hook| is_error(hook)));
        assert_eq!(errors, [&Hook::Error("out of stock".to_owned())]);
        let once = hooks.count(|hook| matches!(hook, Hook::Received(..) | Hook::End(..)));
        assert_eq!(once, 6 + 2, "{all:?}");
    });
}

#[test]
fn the_end_of_a_partition_is_told_again_after_more_records() {
    run(async {
        let bed = Bed::new(2).await;
        bed.fill(3).await;
        let (calls, hooks) = (Calls::default(), Hooks::default());
        let running = Running::start_with(bed.settings(), calls.acking(), |serve| {
            serve.with_lifecycle(hooks.clone())
        });
        for end in 3..6 {
            hooks.end(0, end).await;
            bed.publish(0, 1).await;
        }
        hooks.end(0, 6).await;
        hooks.end(1, 3).await;
        running.stop().await;
        let ends = hooks.count(|hook| matches!(hook, Hook::End(..)));
        assert_eq!(ends, 5, "each once: {:?}", hooks.all());
    });
}

#[test]
fn an_empty_partition_has_an_end_too() {
    run(async {
        let bed = Bed::new(2).await;
        bed.publish(0, 1).await;
        let (calls, hooks) = (Calls::default(), Hooks::default());
        let running = Running::start_with(bed.settings(), calls.acking(), |serve| {
            serve.with_lifecycle(hooks.clone())
        });
        hooks.end(0, 1).await;
        hooks.end(1, 0).await;
        bed.publish(1, 1).await;
        hooks.end(1, 1).await;
        calls.reach(2).await;
        running.stop().await;
        assert_eq!(bed.committed().await, bed.all_at(1));
    });
}

#[test]
fn an_error_of_the_client_is_told() {
    run(async {
        let bed = Bed::embedded(1).await;
        let kafka = bed.mock().expect("an embedded cluster");
        bed.fill(1).await;
        let (calls, hooks) = (Calls::default(), Hooks::default());
        let running = Running::start_with(bed.settings(), calls.acking(), |serve| {
            serve.with_lifecycle(hooks.clone())
        });
        calls.reach(1).await;
        assert_eq!(hooks.count(is_error), 0);
        kafka.broker_down(1).expect("there is a broker");
        hooks.find("an error of the client", is_error).await;
        kafka.broker_up(1).expect("there is a broker");
        bed.publish(0, 1).await;
        calls.reach(2).await;
        running.stop().await;
    });
}

#[test]
fn stopping_is_told_once_however_many_reasons_there_are() {
    run(async {
        let bed = Bed::new(2).await;
        bed.fill(1).await;
        let (calls, hooks) = (Calls::default(), Hooks::default());
        let (seen, told) = (calls.clone(), hooks.clone());
        let service = calls.service(move |record| {
            let (seen, told) = (seen.clone(), told.clone());
            async move {
                seen.reach(2).await;
                if record.partition() == 1 {
                    // While it drains.
                    told.find("it stops", |hook| *hook == Hook::Stopping).await;
                }
                Err::<(), BoxError>("out of stock".into())
            }
        });
        let running = Running::start_with(bed.settings(), service, |serve| {
            serve.with_lifecycle(hooks.clone())
        });
        let error = running.end().await.expect_err("a failure");
        let summary = error.summary().expect("a summary").clone();
        assert_eq!(hooks.count(|hook| *hook == Hook::Stopping), 1);
        assert_eq!(hooks.count(is_error), 2);
        assert_eq!(hooks.all().pop(), Some(Hook::Stopped(summary)));
    });
}

/// What was told of partitions.
fn moves(hooks: &Hooks) -> Vec<Hook> {
    let is_move = |hook: &Hook| matches!(hook, Hook::Assigned(_) | Hook::Revoked(_));
    hooks.all().into_iter().filter(is_move).collect()
}

#[test]
fn a_seek_gives_nothing_up() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(3).await;
        let (calls, hooks) = (Calls::default(), Hooks::default());
        let running = Running::start_with(bed.settings(), calls.acking(), |serve| {
            serve.with_lifecycle(hooks.clone())
        });
        calls.reach(3).await;
        let sought = running.handle.seek(&bed.topic, 0, 0).await;
        sought.expect("it is assigned");
        calls.reach(6).await;
        running.stop().await;
        let all = vec![(bed.topic.clone(), 0)];
        assert_eq!(
            moves(&hooks),
            [Hook::Assigned(all.clone()), Hook::Revoked(all)]
        );
    });
}

#[test]
fn what_was_assigned_is_revoked_after_a_failed_seek_too() {
    run(async {
        let bed = Bed::embedded(1).await;
        let kafka = bed.mock().expect("an embedded cluster");
        // The coordinator is loading. Where to begin isn't known, and until then there is no seek.
        kafka.fail_next(Request::OffsetFetch, 10_000, 14);
        let (calls, hooks) = (Calls::default(), Hooks::default());
        let settings = bed.settings().drain_timeout(Duration::from_millis(100));
        let running = Running::start_with(settings, calls.acking(), |serve| {
            serve.with_lifecycle(hooks.clone())
        });
        running.status(0, "it is assigned", |_| true).await;
        let sought = running.handle.seek(&bed.topic, 0, 0).await;
        sought.expect_err("the consumer ends before");
        let error = running.end().await.expect_err("it can't seek");
        assert!(error.to_string().contains("seeking"), "{error}");
        let all = vec![(bed.topic.clone(), 0)];
        assert_eq!(
            moves(&hooks),
            [Hook::Assigned(all.clone()), Hook::Revoked(all)]
        );
    });
}

/// Panics at every turn.
struct Clumsy(Hooks);

impl Lifecycle for Clumsy {
    fn creating(&mut self) {
        panic!("creating");
    }

    fn created(&mut self) {
        panic!("created");
    }

    fn subscribed(&mut self, _: &[String]) {
        panic!("subscribed");
    }

    fn assigned(&mut self, partitions: &[(String, i32)]) {
        self.0.assigned(partitions);
        panic!("assigned");
    }

    fn revoked(&mut self, partitions: &[(String, i32)]) {
        self.0.revoked(partitions);
        panic!("revoked");
    }

    fn record_received(&mut self, record: &ConsumerRecord) {
        self.0.record_received(record);
        panic!("received");
    }

    fn partition_eof(&mut self, topic: &str, partition: i32, offset: i64) {
        self.0.partition_eof(topic, partition, offset);
        panic!("at the end");
    }

    fn stopping(&mut self) {
        panic!("stopping");
    }

    fn stopped(&mut self, summary: &Summary) {
        self.0.stopped(summary);
        panic!("stopped");
    }
}

#[test]
fn a_hook_that_panics_harms_nobody() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(5).await;
        let (calls, hooks) = (Calls::default(), Hooks::default());
        let running = Running::start_with(bed.settings(), calls.acking(), |serve| {
            serve.with_lifecycle(Clumsy(hooks.clone()))
        });
        hooks.end(0, 5).await;
        calls.reach(5).await;
        let summary = running.stop().await;
        assert_eq!(summary.acked, 5);
        assert_eq!(hooks.all().pop(), Some(Hook::Stopped(summary)));
        assert_eq!(hooks.count(|hook| matches!(hook, Hook::Received(..))), 5);
        assert_eq!(bed.committed().await, bed.all_at(5));
    });
}
