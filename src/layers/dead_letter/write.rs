//! Writing a dead letter, until Kafka has acknowledged it or it has to be given up.

use std::{future::poll_fn, sync::Arc};

use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{DeadLetterError, death::Death, letter, service::Shared};
use crate::{
    error::{
        BoxError, Classified, Classifier, Classify, ErrorClass, PublishError, boxed, find_error,
        message,
    },
    record::{Delivery, ProducerRecord, Record, RecordService, Side},
};

/// Kafka's codes for a record, and for a batch, that is too large.
const TOO_LARGE: [i32; 2] = [10, 18];

pub(super) async fn write<R, P>(
    shared: Arc<Shared<P>>,
    record: R,
    death: Death,
) -> Result<R::Done, R::Error>
where
    R: Record,
    P: RecordService<ProducerRecord> + Clone,
{
    let settings = &shared.settings;
    let topic = settings.topic(&record.view(), &*death.cause);
    let mut letter = letter::full(&record, Arc::clone(&topic), &death, settings);
    if let Some(why) = circle(&record, &letter, settings.max_hops) {
        return Err(undone(&record, ErrorClass::Fatal, why, death.cause));
    }
    let backoff = settings.write_backoff(R::SIDE);
    let mut may_point = settings.pointers;
    let mut publisher = shared.publisher();
    let started = Instant::now();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let error = match send(&mut publisher, letter.clone()).await {
            Ok(to) => {
                log(&record, &death, &to);
                return record.moved(to, death.cause);
            }
            Err(error) => error,
        };
        letter.adopt(&*error);
        if is_too_large(&error)
            && std::mem::take(&mut may_point)
            && let Some(pointer) = letter::pointer(&record, Arc::clone(&topic), &death, settings)
        {
            letter = pointer;
            continue;
        }
        let class = Classifier::new().classify(&*error);
        let after = backoff.delay(attempts);
        let goes_on = matches!(class, ErrorClass::Retriable | ErrorClass::Unavailable)
            && backoff.allows_after(attempts)
            && backoff.allows_at(started.elapsed().saturating_add(after));
        let view = record.view();
        warn!(
            topic = view.topic,
            partition = view.partition,
            offset = view.offset,
            attempts,
            goes_on,
            error = message(&*error),
            "a dead letter can't be written"
        );
        if !goes_on {
            let class = match (class, R::SIDE) {
                (ErrorClass::Retriable | ErrorClass::Unavailable, _) => ErrorClass::Unavailable,
                // No commit waits for it, and the next record may fit.
                (ErrorClass::NonRetriable, Side::Publish) => ErrorClass::NonRetriable,
                _ => ErrorClass::Fatal,
            };
            let plural = if attempts == 1 { "" } else { "s" };
            let why = format!(
                "writing it to `{topic}` failed after {attempts} attempt{plural}: {}",
                message(&*error)
            );
            return Err(undone(&record, class, why, death.cause));
        }
        sleep(after).await;
    }
}

async fn send<P>(publisher: &mut P, letter: ProducerRecord) -> Result<Delivery, BoxError>
where
    P: RecordService<ProducerRecord>,
{
    poll_fn(|cx| publisher.poll_ready(cx))
        .await
        .map_err(|error| BoxError::from(ProducerRecord::dead(boxed(error))))?;
    match publisher.call(letter).await {
        Ok(delivery) => Ok(delivery.into()),
        Err(error) => Err(boxed(error)),
    }
}

/// Why the record would go round in a circle.
fn circle<R: Record>(record: &R, letter: &ProducerRecord, max_hops: u32) -> Option<String> {
    let view = record.view();
    if *letter.topic == *view.topic {
        return Some(format!(
            "its dead-letter topic is the topic `{}` that it is from; set another one with \
             `DeadLetter::topic`",
            view.topic
        ));
    }
    let hops = letter::hops(&view);
    (hops >= max_hops).then(|| {
        format!(
            "it has died {hops} times already, which looks like a circle of topics; see whether a \
             consumer reads its own dead letters, or raise `DeadLetter::max_hops`"
        )
    })
}

fn is_too_large(error: &BoxError) -> bool {
    let code = find_error(&**error).and_then(PublishError::code);
    code.is_some_and(|code| TOO_LARGE.contains(&code))
}

/// The error of a record that couldn't be dead-lettered.
pub(super) fn undone<R: Record>(
    record: &R,
    class: ErrorClass,
    why: String,
    cause: BoxError,
) -> R::Error {
    record.fail(Classified::new(class, DeadLetterError::new(why, cause)).into())
}

fn log<R: Record>(record: &R, death: &Death, to: &Delivery) {
    let view = record.view();
    warn!(
        topic = view.topic,
        partition = view.partition,
        offset = view.offset,
        attempts = death.attempts,
        class = %death.class,
        error = message(&*death.cause),
        dead_letter.topic = &*to.topic,
        dead_letter.partition = to.partition,
        dead_letter.offset = to.offset,
        "a record was dead-lettered"
    );
}
