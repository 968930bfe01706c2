use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;
use tower::Service;

use super::{IntoOutcome, extract::FromRecord};
use crate::{
    error::{BoxError, Rejection},
    record::{ConsumerRecord, Outcome},
};

/// An async function that handles records: up to 12 arguments, each an
/// [extractor](super::extract).
///
/// It is implemented for functions and closures; the parameter `T` is made of their arguments, and
/// is inferred. A router takes those whose [`Output`](Self::Output) is [`IntoOutcome`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler for a router whose state is `{S}`",
    label = "not a handler",
    note = "a handler is an async function that is `Clone + Send + Sync + 'static`, with up to 12 \
            arguments that are extractors (`kafka_tower::extract`), and whose future is `Send`",
    note = "an argument `State<T>` wants a router whose state is `T`, or `FromRef` for it: give it \
            with `.with_state(...)` before the router is served",
    note = "a function in `transform` returns what is `IntoRecords`: one `ProducerRecord`, several, or a \
            `Result` of these",
    note = "`kafka_tower::check_handler!({S}, function(_, _))` points at the very argument"
)]
pub trait Handler<T, S>: Clone + Send + Sync + 'static {
    /// What the function returns.
    type Output;
    /// The function's future, or the rejection of an argument.
    type Future: Future<Output = Result<Self::Output, Rejection>> + Send + 'static;

    /// Reads the arguments from the record and calls the function.
    fn call(self, record: &ConsumerRecord, state: &S) -> Self::Future;
}

macro_rules! impl_handler {
    ($($argument:ident),*) => {
        #[diagnostic::do_not_recommend]
        #[allow(non_snake_case, unused_variables, reason = "named as their types are; none may be there")]
        impl<F, Fut, S, $($argument,)*> Handler<($($argument,)*), S> for F
        where
            F: FnOnce($($argument,)*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            $($argument: FromRecord<S>,)*
        {
            type Output = Fut::Output;
            type Future = HandlerFuture<Fut>;

            fn call(self, record: &ConsumerRecord, state: &S) -> Self::Future {
                $(
                    let $argument = match $argument::from_record(record, state) {
                        Ok(argument) => argument,
                        Err(rejection) => return HandlerFuture::rejected(rejection),
                    };
                )*
                HandlerFuture::running(self($($argument,)*))
            }
        }
    };
}

super::all_the_tuples!(impl_handler);

/// The future of a function, or the rejection of one of its arguments.
#[pin_project]
pub struct HandlerFuture<F>(#[pin] State<F>);

#[pin_project(project = StatePinned)]
enum State<F> {
    Running(#[pin] F),
    Rejected(Option<Rejection>),
}

impl<F> HandlerFuture<F> {
    pub(super) fn running(future: F) -> Self {
        Self(State::Running(future))
    }

    pub(super) fn rejected(rejection: Rejection) -> Self {
        Self(State::Rejected(Some(rejection)))
    }
}

impl<F: Future> Future for HandlerFuture<F> {
    type Output = Result<F::Output, Rejection>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().0.project() {
            StatePinned::Running(future) => future.poll(context).map(Ok),
            StatePinned::Rejected(rejection) => {
                Poll::Ready(Err(rejection.take().expect("polled after its end")))
            }
        }
    }
}

impl<F> fmt::Debug for HandlerFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerFuture").finish_non_exhaustive()
    }
}

/// Makes a service of a handler and its state, without a router: it allocates nothing for a call.
///
/// # Example
///
/// ```
/// use kafka_tower::{
///     BoxError, ConsumerRecord, Outcome, extract::{Key, State}, router::handler_service,
/// };
/// use tower::{ServiceBuilder, ServiceExt};
///
/// async fn greet(State(greeting): State<String>, Key(name): Key<String>) {
///     println!("{greeting}, {name}");
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), BoxError> {
/// let service = ServiceBuilder::new()
///     .concurrency_limit(10)
///     .service(handler_service(greet, "Hello".to_owned()));
/// let record = ConsumerRecord::builder("names", 0, 0).key("Ada").build();
/// assert_eq!(service.oneshot(record).await?, Outcome::Ack);
/// # Ok(())
/// # }
/// ```
pub fn handler_service<H, T, S>(handler: H, state: S) -> HandlerService<H, T, S>
where
    H: Handler<T, S, Output: IntoOutcome>,
{
    HandlerService::new(handler, Arc::new(state))
}

/// A handler as a service; made by [`handler_service`].
pub struct HandlerService<H, T, S> {
    handler: H,
    state: Arc<S>,
    arguments: PhantomData<fn() -> T>,
}

impl<H, T, S> HandlerService<H, T, S> {
    pub(super) fn new(handler: H, state: Arc<S>) -> Self {
        Self {
            handler,
            state,
            arguments: PhantomData,
        }
    }
}

impl<H, T, S> Service<ConsumerRecord> for HandlerService<H, T, S>
where
    H: Handler<T, S, Output: IntoOutcome>,
{
    type Response = Outcome;
    type Error = BoxError;
    type Future = OutcomeFuture<H::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, record: ConsumerRecord) -> Self::Future {
        OutcomeFuture(self.handler.clone().call(&record, &self.state))
    }
}

impl<H: Clone, T, S> Clone for HandlerService<H, T, S> {
    fn clone(&self) -> Self {
        Self::new(self.handler.clone(), Arc::clone(&self.state))
    }
}

impl<H, T, S> fmt::Debug for HandlerService<H, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerService").finish_non_exhaustive()
    }
}

/// What became of a record in its handler.
#[pin_project]
pub struct OutcomeFuture<F>(#[pin] F);

impl<F, O> Future for OutcomeFuture<F>
where
    F: Future<Output = Result<O, Rejection>>,
    O: IntoOutcome,
{
    type Output = Result<Outcome, BoxError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.project().0.poll(context)) {
            Ok(output) => output.into_outcome(),
            Err(rejection) => Err(rejection.into()),
        })
    }
}

impl<F> fmt::Debug for OutcomeFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutcomeFuture").finish_non_exhaustive()
    }
}
