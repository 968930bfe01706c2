//! What was published and what came of it, held against the log.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    future::Future,
    time::{Duration, Instant},
};

use kafka_tower::{Delivery, Persistence, ProducerRecord, PublishError, Publisher};
use tower::Service;

use crate::support::Stored;

/// A record that was published: the `number`th of its key.
pub(crate) struct Sent {
    pub(crate) key: u32,
    pub(crate) number: u32,
    pub(crate) result: Result<Delivery, PublishError>,
    pub(crate) took: Duration,
}

fn key(key: u32) -> String {
    format!("key {key}")
}

/// About 100 bytes that no other record has.
fn payload(key: u32, number: u32) -> String {
    let filler = char::from(b'a' + u8::try_from((key + number) % 26).expect("a letter"));
    format!("{key} {number} {}", filler.to_string().repeat(90))
}

fn parse(payload: &str) -> Option<(u32, u32)> {
    let mut words = payload.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// Publishes a record, for which there is room.
pub(crate) fn publish(
    publisher: &mut Publisher,
    topic: &str,
    key_number: u32,
    number: u32,
) -> impl Future<Output = Sent> + Send + use<> {
    let record = ProducerRecord::to(topic)
        .key(key(key_number))
        .payload(payload(key_number, number));
    let begun = Instant::now();
    let delivery = publisher.call(record);
    async move {
        let result = delivery.await;
        Sent {
            key: key_number,
            number,
            result,
            took: begun.elapsed(),
        }
    }
}

/// What a log says of what was published.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    published: usize,
    ok: usize,
    err: usize,
    in_log: usize,
    duplicates: usize,
    lost: usize,
    pub(crate) slowest: Duration,
    problems: Vec<String>,
}

impl Verdict {
    /// `with_id`: whether each record has its message id as its only header, or none at all.
    pub(crate) fn new(topic: &str, with_id: bool, sent: &[Sent], log: &[Stored]) -> Self {
        let mut verdict = Self {
            published: sent.len(),
            in_log: log.len(),
            slowest: sent.iter().map(|sent| sent.took).max().unwrap_or_default(),
            ..Self::default()
        };
        let mut places = verdict.places(log);
        for sent in sent {
            let places = places.remove(&(sent.key, sent.number)).unwrap_or_default();
            let (key, number) = (sent.key, sent.number);
            verdict.duplicates += places.len().saturating_sub(1);
            if places.len() > 1 {
                verdict.problem(format!("{key}/{number} is there {} times", places.len()));
            }
            match &sent.result {
                Ok(delivery) => verdict.delivered(sent, delivery, with_id, &places),
                Err(error) => verdict.failed(topic, sent, error, &places),
            }
        }
        for (key, number) in places.into_keys() {
            verdict.problem(format!("{key}/{number} was never published"));
        }
        verdict.order(log);
        verdict
    }

    fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// The log by key and number.
    fn places<'a>(&mut self, log: &'a [Stored]) -> HashMap<(u32, u32), Vec<&'a Stored>> {
        let mut places: HashMap<_, Vec<_>> = HashMap::new();
        for stored in log {
            let place = (stored.partition, stored.offset);
            match identity(stored) {
                Some(identity) => places.entry(identity).or_default().push(stored),
                None => self.problem(format!("at {place:?} is what nobody published")),
            }
        }
        places
    }

    fn delivered(&mut self, sent: &Sent, delivery: &Delivery, with_id: bool, places: &[&Stored]) {
        self.ok += 1;
        let (key, number) = (sent.key, sent.number);
        let Some(stored) = places.first() else {
            self.lost += 1;
            return self.problem(format!("{key}/{number} was delivered and is not there"));
        };
        let there = |stored: &&Stored| {
            stored.partition == delivery.partition
                && delivery.offset.is_none_or(|offset| offset == stored.offset)
        };
        if !places.iter().any(there) {
            let place = (stored.partition, stored.offset);
            self.problem(format!(
                "{key}/{number} is at {place:?}, not at {delivery:?}"
            ));
        }
        let id = delivery.message_id.to_string().into_bytes();
        let headers = with_id.then(|| ("message-id".to_owned(), Some(id)));
        if stored.headers != Vec::from_iter(headers) {
            self.problem(format!("{key}/{number} has headers {:?}", stored.headers));
        }
    }

    fn failed(&mut self, topic: &str, sent: &Sent, error: &PublishError, places: &[&Stored]) {
        self.err += 1;
        let (key_number, number) = (sent.key, sent.number);
        let whole = error.record().is_some_and(|record| {
            *record.topic == *topic
                && record.key.as_deref() == Some(key(key_number).as_bytes())
                && record.payload.as_deref() == Some(payload(key_number, number).as_bytes())
        });
        if !whole {
            self.problem(format!("{key_number}/{number} didn't come back: {error:?}"));
        }
        if !places.is_empty() && error.persistence() == Persistence::NotPersisted {
            self.problem(format!(
                "{key_number}/{number} is there in spite of {error:?}"
            ));
        }
    }

    /// In the log a key's records first appear in the order in which they were published, all in one
    /// partition.
    fn order(&mut self, log: &[Stored]) {
        let mut seen = HashSet::new();
        let mut last: HashMap<u32, (i32, u32)> = HashMap::new();
        for stored in log {
            let Some((key, number)) = identity(stored) else {
                continue;
            };
            if !seen.insert((key, number)) {
                continue;
            }
            let before = last.insert(key, (stored.partition, number));
            if let Some((partition, before)) = before
                && (partition != stored.partition || before > number)
            {
                self.problem(format!(
                    "{key}/{number} in partition {} is behind {key}/{before} in {partition}",
                    stored.partition
                ));
            }
        }
    }

    /// Fails with the first problems, where there are any.
    pub(crate) fn assert_good(&self) {
        let first: Vec<_> = self.problems.iter().take(10).collect();
        assert!(first.is_empty(), "{self}\n{first:#?}");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            published,
            ok,
            err,
            in_log,
            duplicates,
            lost,
            slowest,
            problems,
        } = self;
        write!(
            f,
            "published {published}, ok {ok}, err {err}, in log {in_log}, duplicates {duplicates}, \
             lost {lost}, slowest {slowest:.1?}, problems {}",
            problems.len()
        )
    }
}

/// Key and number of a stored record, if it is whole.
fn identity(stored: &Stored) -> Option<(u32, u32)> {
    let text = std::str::from_utf8(stored.payload.as_deref()?).ok()?;
    let (key_number, number) = parse(text)?;
    let whole = stored.key.as_deref() == Some(key(key_number).as_bytes())
        && text == payload(key_number, number);
    whole.then_some((key_number, number))
}

mod tests {
    use kafka_tower::{ErrorClass, MessageId};

    use super::*;

    const TOPIC: &str = "topic";

    fn ok(number: u32) -> Sent {
        let id = MessageId::from("id");
        Sent {
            key: 7,
            number,
            result: Ok(Delivery::new(TOPIC, 0, i64::from(number), id)),
            took: Duration::ZERO,
        }
    }

    fn err(number: u32, persistence: Persistence) -> Sent {
        let record = ProducerRecord::to(TOPIC)
            .key(key(7))
            .payload(payload(7, number));
        let error = PublishError::new(ErrorClass::Retriable, persistence, "late");
        Sent {
            result: Err(error.with_record(record)),
            ..ok(number)
        }
    }

    fn stored(offset: i64, number: u32) -> Stored {
        Stored {
            partition: 0,
            offset,
            timestamp: None,
            key: Some(key(7).into()),
            payload: Some(payload(7, number).into()),
            headers: Vec::new(),
        }
    }

    fn problems(sent: &[Sent], log: &[Stored]) -> String {
        Verdict::new(TOPIC, false, sent, log).problems.join("; ")
    }

    #[test]
    fn what_is_wrong_is_found() {
        use Persistence::{NotPersisted, PossiblyPersisted};
        let good = [ok(0), err(1, NotPersisted), err(2, PossiblyPersisted)];
        let whole = || vec![stored(0, 0), stored(1, 2)];
        assert_eq!(problems(&good, &whole()), "");
        assert_eq!(problems(&good, &whole()[..1]), "");

        let expect = |sent: &[Sent], log: &[Stored], part: &str| {
            let found = problems(sent, log);
            assert!(found.contains(part), "{part:?} is missing in {found:?}");
        };
        expect(&good, &whole()[1..], "7/0 was delivered and is not there");
        let twice = [whole(), vec![stored(2, 2)]].concat();
        expect(&good, &twice, "7/2 is there 2 times");
        expect(&good, &[stored(0, 0), stored(1, 1)], "in spite of");
        expect(
            &[ok(0), ok(1)],
            &[stored(0, 1), stored(1, 0)],
            "7/0 in partition 0 is behind 7/1",
        );
        expect(&[ok(1)], &[stored(0, 1)], "is at (0, 0), not at");
        expect(&good[..1], &whole(), "7/2 was never published");
        let mut altered = whole();
        altered[0].payload.as_mut().unwrap()[20] ^= 1;
        expect(&good, &altered, "at (0, 0) is what nobody published");
        altered = whole();
        altered[0].headers.push(("a".to_owned(), None));
        expect(&good, &altered, "has headers");
        let empty = PublishError::new(ErrorClass::Retriable, NotPersisted, "late");
        let empty = Sent {
            result: Err(empty),
            ..ok(0)
        };
        expect(&[empty], &[], "didn't come back");
    }
}
