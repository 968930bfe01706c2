use std::{error::Error, fmt};

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
