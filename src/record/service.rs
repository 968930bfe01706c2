use tower::Service;

use super::Record;
use crate::error::BoxError;

/// A service for records of one kind: the only bound of every layer.
///
/// It is implemented for every `tower::Service<R>` whose response converts into [`Record::Done`],
/// whose error converts into a [`BoxError`], and whose future is `Send + 'static`: a
/// [`Publisher`](crate::Publisher), a handler, and any stack of layers around one, tower's own
/// included.
pub trait RecordService<R: Record>:
    Service<R, Response: Into<R::Done>, Error: Into<BoxError> + 'static, Future: Send + 'static>
{
}

impl<R, S> RecordService<R> for S
where
    R: Record,
    S: Service<R, Response: Into<R::Done>, Error: Into<BoxError> + 'static, Future: Send + 'static>,
{
}
