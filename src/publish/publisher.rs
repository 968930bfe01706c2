use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_util::sync::PollSemaphore;
use tower::Service;

use super::{
    core::{Core, Handle, Request, closed},
    driver::Driver,
    flushed::Flushed,
    future::DeliveryFuture,
    settings::ProducerSettings,
};
use crate::{
    client::{native::producer::Producer, redact::refusal},
    error::{ConfigError, PublishError},
    record::{Delivery, ProducerRecord},
};

/// Publishes records to Kafka: a `tower::Service` that resolves when the delivery report arrives.
///
/// Cheap to clone; all clones share one client, one thread that polls it, and one limit on what is
/// on its way. `poll_ready` reserves room within that limit, and the record holds the room until it
/// is reported, whatever becomes of its future.
///
/// Most callers use [`PublishExt::send`](crate::PublishExt::send), which does both steps.
///
/// When the last clone is dropped, what is still on its way is flushed on the polling thread, and
/// what is lost is logged. That thread ends with the process: call [`close`](Self::close) at the end
/// of `main`.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use kafka_tower::{ProducerRecord, ProducerSettings, PublishExt, Publisher};
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kafka = kafka_tower::testing::EmbeddedKafka::start().await?;
/// # let brokers = kafka.bootstrap_servers();
/// let publisher = Publisher::new(ProducerSettings::high_reliability(brokers))?;
///
/// let record = ProducerRecord::to("orders").key("42").payload("{}");
/// let delivery = publisher.send(record).await?;
/// println!("partition {}, offset {:?}", delivery.partition, delivery.offset);
///
/// let flushed = publisher.close(Duration::from_secs(5)).await;
/// assert!(flushed.undelivered.is_empty());
/// # Ok(())
/// # }
/// ```
pub struct Publisher {
    handle: Arc<Handle>,
    records: PollSemaphore,
    permit: Option<OwnedSemaphorePermit>,
}

impl ProducerSettings {
    /// Makes a publisher; the same as [`Publisher::new`].
    ///
    /// # Errors
    ///
    /// All problems of the settings at once. Whether the brokers can be reached is not among them.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    /// use kafka_tower::ProducerSettings;
    ///
    /// let settings = ProducerSettings::high_reliability("localhost:9092");
    /// let publisher = settings.linger(Duration::from_millis(1)).build();
    /// assert!(publisher.is_ok());
    /// let error = ProducerSettings::low_latency("localhost:9092").set("linger", "1").build().unwrap_err();
    /// assert_eq!(error.problems().len(), 1);
    /// ```
    pub fn build(self) -> Result<Publisher, ConfigError> {
        Publisher::new(self)
    }
}

impl Publisher {
    /// Makes a publisher. It connects in the background: unreachable brokers show when a publish
    /// fails at its delivery timeout.
    ///
    /// # Errors
    ///
    /// When the settings contradict themselves or librdkafka refuses them: all problems at once.
    pub fn new(settings: ProducerSettings) -> Result<Self, ConfigError> {
        let checked = settings.check()?;
        let delivery_timeout = checked.delivery_timeout;
        let refused = |error: String| ConfigError::new(vec![error]);
        let (producer, poller) =
            Producer::new(&checked.config).map_err(|error| refused(refusal(&error)))?;
        let core = Arc::new(Core::new(producer, checked));
        let driver = Driver::new(Arc::clone(&core), poller, delivery_timeout);
        std::thread::Builder::new()
            .name("kafka-publisher".to_owned())
            .spawn(|| driver.run())
            .map_err(|error| refused(format!("the polling thread can't be started: {error}")))?;
        Ok(Self {
            records: PollSemaphore::new(Arc::clone(&core.capacity.records)),
            handle: Arc::new(Handle(core)),
            permit: None,
        })
    }

    /// Waits until every record that was published before this call was reported, for `deadline`
    /// at the most. Lingering ends at once meanwhile.
    ///
    /// Cancel safety: dropping the future ends the waiting and nothing else.
    pub async fn flush(&self, deadline: Duration) -> Flushed {
        self.request(false, deadline).await
    }

    /// Takes no more records, on any clone, and waits until all that were published have been
    /// reported, for `deadline` at the most. What is still on its way then is given up and handed
    /// back.
    ///
    /// A second call finds nothing to do. The connections end when the last clone is dropped.
    ///
    /// Cancel safety: once polled, the publisher closes, whether or not the future is dropped.
    pub async fn close(&self, deadline: Duration) -> Flushed {
        self.core().close();
        self.request(true, deadline).await
    }

    /// How many records are on their way: published, and not reported yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.core().outstanding(None)
    }

    #[cfg(feature = "otel")]
    pub(crate) fn downgrade(&self) -> WeakPublisher {
        WeakPublisher(Arc::downgrade(&self.handle))
    }

    async fn request(&self, closes: bool, deadline: Duration) -> Flushed {
        let (reply, answer) = oneshot::channel();
        self.core().request(Request {
            closes,
            deadline: Instant::now().checked_add(deadline),
            reply: Some(reply),
        });
        answer
            .await
            .expect("the polling thread lives as long as the publisher")
    }

    fn core(&self) -> &Core {
        &self.handle.0
    }
}

/// A publisher that may be gone.
#[cfg(feature = "otel")]
pub(crate) struct WeakPublisher(std::sync::Weak<Handle>);

#[cfg(feature = "otel")]
impl WeakPublisher {
    pub(crate) fn upgrade(&self) -> Option<Publisher> {
        let handle = self.0.upgrade()?;
        Some(Publisher {
            records: PollSemaphore::new(Arc::clone(&handle.0.capacity.records)),
            handle,
            permit: None,
        })
    }
}

impl Service<ProducerRecord> for Publisher {
    type Response = Delivery;
    type Error = PublishError;
    type Future = DeliveryFuture;

    /// Reserves room for one record.
    ///
    /// # Errors
    ///
    /// When the publisher was closed.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PublishError>> {
        if self.core().is_closed() {
            return Poll::Ready(Err(closed()));
        }
        if self.permit.is_none() {
            self.permit = match self.records.poll_acquire(cx) {
                Poll::Ready(None) => return Poll::Ready(Err(closed())),
                Poll::Ready(permit) => permit,
                Poll::Pending => {
                    // The room may be held by records that wait for others to go with them.
                    self.core().producer.hand_over();
                    return Poll::Pending;
                }
            };
        }
        if self.core().capacity.poll_bytes(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.core().producer.hand_over();
        // Looked at once more: `close` may have come before the waker was left.
        match self.core().is_closed() {
            true => Poll::Ready(Err(closed())),
            false => Poll::Pending,
        }
    }

    /// Enqueues the record; never blocks.
    ///
    /// # Panics
    ///
    /// Without a `poll_ready` that answered `Ready` before.
    fn call(&mut self, record: ProducerRecord) -> DeliveryFuture {
        self.permit
            .take()
            .expect("room for the record is reserved; `poll_ready` must be called first")
            .forget();
        self.core().publish(record)
    }
}

impl Clone for Publisher {
    /// The clone shares everything but the room that was reserved.
    fn clone(&self) -> Self {
        Self {
            handle: Arc::clone(&self.handle),
            records: self.records.clone(),
            permit: None,
        }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("closed", &self.core().is_closed())
            .finish_non_exhaustive()
    }
}
