//! Compact canonical JSON of our own typed documents.

/// Writes a document as canonical JSON without spaces.
///
/// The type must declare its fields in the order of their names and hold only strings without control characters and
/// unsigned numbers: then serde's compact output is the canonical form, and no tree has to be built for 100,000 files.
#[expect(clippy::expect_used, reason = "writing structs of strings and numbers to memory has no failing case")]
pub(crate) fn to_vec(document: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("plain structs serialise")
}
