//! What an application of a delta may cost. Every bound is in bytes.

/// The length that the new file must or may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewLength {
    /// Exactly this many bytes, because a signed manifest says so.
    Exactly(u64),
    /// At most this many bytes.
    AtMost(u64),
}

impl NewLength {
    /// Returns whether a file of `length` bytes is acceptable.
    #[must_use]
    pub const fn allows(self, length: u64) -> bool {
        match self {
            Self::Exactly(exact) => length == exact,
            Self::AtMost(most) => length <= most,
        }
    }
}

/// What one call of [`apply`](crate::apply) may write and allocate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplyLimits {
    /// Length of the new file. A delta that announces another one is refused before anything is written.
    pub new_length: NewLength,
    /// Most bytes of memory to allocate. A delta that needs more is refused before it is allocated.
    pub memory: u64,
}

impl ApplyLimits {
    /// Accepts a new file of exactly `length` bytes, within [`DEFAULT_APPLY_MEMORY`].
    #[must_use]
    pub const fn exactly(length: u64) -> Self {
        Self { new_length: NewLength::Exactly(length), memory: DEFAULT_APPLY_MEMORY }
    }

    /// Accepts a new file of up to `length` bytes, within [`DEFAULT_APPLY_MEMORY`].
    #[must_use]
    pub const fn at_most(length: u64) -> Self {
        Self { new_length: NewLength::AtMost(length), memory: DEFAULT_APPLY_MEMORY }
    }

    /// Replaces the memory bound.
    #[must_use]
    pub const fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }
}

/// Memory that an application may use unless the caller says otherwise: 128 MiB, room for xz's largest preset (65 MiB) twice over.
pub const DEFAULT_APPLY_MEMORY: u64 = 128 << 20;

/// Bytes moved at a time between the streams: 64 KiB, large enough that system calls do not count.
pub(crate) const CHUNK: usize = 64 << 10;
