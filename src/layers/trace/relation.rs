/// How a process span stands to the span that the record was sent in, which its headers name.
///
/// OpenTelemetry lets a consumer choose. A child keeps sender and consumers in one trace. Links alone begin
/// a trace with each attempt at a record, which fits where one record leads to many others, or where the
/// senders' choice what to sample is not to be followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TraceRelation {
    /// Its child, and linked to it.
    #[default]
    ParentAndLink,
    /// Its child.
    Parent,
    /// The root of a trace of its own, linked to it. The baggage is taken over.
    Link,
    /// The root of a trace of its own. What the headers say is not read: for records from strangers.
    Unrelated,
}
