use std::{any::Any, error::Error, fmt};

/// A panic as an error.
#[derive(Debug)]
pub(crate) struct Panicked(String);

impl From<Box<dyn Any + Send>> for Panicked {
    fn from(panic: Box<dyn Any + Send>) -> Self {
        let message = match panic.downcast::<String>() {
            Ok(message) => *message,
            Err(panic) => match panic.downcast::<&'static str>() {
                Ok(message) => (*message).to_owned(),
                Err(_) => "no message".to_owned(),
            },
        };
        Self(message)
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the service panicked: {}", self.0)
    }
}

impl Error for Panicked {}

/// A dead letter that no layer moved.
#[derive(Debug)]
pub(super) struct Unplaced(pub(super) String);

impl fmt::Display for Unplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the service asked for a dead letter and no dead-letter layer is there: {}",
            self.0
        )
    }
}

impl Error for Unplaced {}
