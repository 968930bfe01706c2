use super::Headers;

/// The headers that a record to be published has from elsewhere: what is still the same in them was not
/// set by its sender. A trace context among them gives way to the one of the moment.
#[derive(Debug, Clone)]
pub(crate) struct Carried(pub(crate) Headers);
