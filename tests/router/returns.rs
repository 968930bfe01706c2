//! What handlers may return, and what becomes of their errors.

use std::{
    convert::Infallible,
    fmt,
    future::Ready,
    io,
    task::{Context, Poll},
};

use kafka_tower::{
    BoxError, Classified, Classifier, Classify, ConsumerRecord, Delivery, ErrorClass, MessageId,
    Outcome, Router,
    extract::Json,
    find_error,
    router::{Handler, IntoOutcome},
};

use tower::{Service, service_fn};

use crate::answer;

async fn returned<H, T>(handler: H) -> Result<Outcome, BoxError>
where
    H: Handler<T, (), Output: IntoOutcome>,
    T: 'static,
{
    let record = ConsumerRecord::builder("orders", 0, 0).payload("{").build();
    answer(Router::new().topic("orders", handler), record).await
}

#[tokio::test]
async fn what_means_which_outcome() {
    let to = || Delivery::new("elsewhere", 0, 7, MessageId::from("1"));
    assert_eq!(returned(async || {}).await.unwrap(), Outcome::Ack);
    assert_eq!(
        returned(async || Outcome::Skip).await.unwrap(),
        Outcome::Skip
    );
    let moved = Outcome::Moved { to: to() };
    assert_eq!(returned(async move || to()).await.unwrap(), moved);
    assert_eq!(
        returned(async || Ok::<_, Infallible>(())).await.unwrap(),
        Outcome::Ack
    );
    assert_eq!(
        returned(async || Ok::<_, String>(Outcome::Stop))
            .await
            .unwrap(),
        Outcome::Stop
    );
    assert_eq!(
        returned(async move || Ok::<_, io::Error>(to()))
            .await
            .unwrap(),
        moved
    );
    let error = returned(async || Err::<(), _>("no")).await.unwrap_err();
    assert_eq!(error.to_string(), "no");
}

#[derive(Debug)]
struct Inner;

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("inner")
    }
}

impl std::error::Error for Inner {}

#[tokio::test]
async fn errors_keep_their_class_and_type() {
    let classify = |error: &BoxError| Classifier::new().classify(&**error);
    let error = returned(async || Err::<(), _>(Classified::unavailable("later"))).await;
    assert_eq!(classify(&error.unwrap_err()), ErrorClass::Unavailable);
    let error = returned(async || Err::<(), BoxError>(Classified::fatal(Inner).into())).await;
    assert_eq!(classify(&error.unwrap_err()), ErrorClass::Fatal);

    let error = returned(async || Err::<(), anyhow::Error>(Inner.into())).await;
    assert!(find_error::<Inner>(&*error.unwrap_err()).is_some());
    let context = |error: anyhow::Error| error.context("while testing");
    let error = returned(async move || Err::<(), _>(context(Inner.into()))).await;
    assert!(find_error::<Inner>(&*error.unwrap_err()).is_some());
    let fatal = async move || Err::<(), _>(context(Classified::fatal(Inner).into()));
    assert_eq!(
        classify(&returned(fatal).await.unwrap_err()),
        ErrorClass::Fatal
    );

    // Of a service, too, be it ready or not.
    #[derive(Clone)]
    struct Ended;
    impl Service<ConsumerRecord> for Ended {
        type Response = ();
        type Error = anyhow::Error;
        type Future = Ready<anyhow::Result<()>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<anyhow::Result<()>> {
            Poll::Ready(Err(Inner.into()))
        }

        fn call(&mut self, _: ConsumerRecord) -> Self::Future {
            unreachable!("it is never ready")
        }
    }
    let failing = service_fn(async |_| Err::<(), _>(anyhow::Error::from(Inner)));
    let record = || ConsumerRecord::builder("orders", 0, 0).build();
    for router in [
        Router::new().topic_service("orders", failing),
        Router::new().topic_service("orders", Ended),
    ] {
        let error = answer(router, record()).await.unwrap_err();
        assert!(find_error::<Inner>(&*error).is_some());
    }

    // Through a layer that boxes errors as well.
    let layered = Router::new()
        .topic("orders", fatal)
        .layer(tower::timeout::TimeoutLayer::new(std::time::Duration::MAX));
    let error = answer(layered, record()).await.unwrap_err();
    assert_eq!(classify(&error), ErrorClass::Fatal);
}

#[tokio::test]
async fn an_argument_that_can_not_be_read_is_the_records_failure() {
    async fn handler(_: Json<u32>) {
        unreachable!("without its argument");
    }
    let error = returned(handler).await.unwrap_err();
    assert_eq!(
        Classifier::new().classify(&*error),
        ErrorClass::NonRetriable
    );
    assert_eq!(error.to_string(), "the payload of the record can't be read");
    // Also when the handler passes it on.
    async fn passing(number: Result<Json<u32>, kafka_tower::Rejection>) -> Result<(), BoxError> {
        number?;
        Ok(())
    }
    let error = returned(passing).await.unwrap_err();
    assert_eq!(
        Classifier::new().classify(&*error),
        ErrorClass::NonRetriable
    );
}
