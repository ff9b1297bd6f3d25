//! Why bytes could not be read as one of our formats: what was expected, what came, at which field or byte.

/// A stored or received format that was refused. Nothing of it has been used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// A name, path or number broke a rule of its type.
    #[error("{what} {value:?} is refused: {rule}")]
    Invalid {
        /// What the value was meant to be, for example `app id`.
        what: &'static str,
        /// The refused value, shortened to 120 characters.
        value: String,
        /// The rule that it broke.
        rule: &'static str,
    },
    /// The bytes are not JSON as these formats use it.
    #[error("{what} is not valid JSON: {detail}")]
    Json {
        /// Which document, for example `timestamp` or `manifest`.
        what: &'static str,
        /// What the parser met, with line and column.
        detail: String,
    },
    /// The document is JSON but a field is missing, of another type or out of range.
    #[error("{what} has a wrong shape: {detail}")]
    Shape {
        /// Which document.
        what: &'static str,
        /// Which field, and what was expected.
        detail: String,
    },
    /// The document was written in a newer format than this program reads.
    #[error("{what} has format version {found}, this program reads up to {supported}")]
    NewerFormat {
        /// Which document.
        what: &'static str,
        /// The version found in it.
        found: u64,
        /// The newest version that is understood here.
        supported: u64,
    },
    /// More bytes, entries or levels than the named limit allows.
    #[error("{what} exceeds the limit of {limit} {unit}")]
    TooLarge {
        /// What was measured.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// The unit of the limit.
        unit: &'static str,
    },
    /// A binary container is cut short or carries impossible numbers.
    #[error("{what} is damaged at byte {offset}: {detail}")]
    Damaged {
        /// Which container.
        what: &'static str,
        /// Where, in bytes from its start.
        offset: u64,
        /// What was expected there.
        detail: String,
    },
}

impl FormatError {
    pub(crate) fn invalid(what: &'static str, value: &str, rule: &'static str) -> Self {
        Self::Invalid { what, value: value.chars().take(120).collect(), rule }
    }

    pub(crate) fn shape(what: &'static str, detail: impl Into<String>) -> Self {
        Self::Shape { what, detail: detail.into() }
    }
}
