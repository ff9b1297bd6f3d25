//! "Did you mean": the known word nearest to a misspelled one.

/// Returns the candidate with the fewest edits to `word`, when a slip of the fingers could explain the difference.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|&(edits, candidate)| edits <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_word_is_offered() {
        let known = ["url", "root", "channel", "channels", "keep", "keep-local"];
        assert_eq!(nearest("ulr", known), Some("url"));
        assert_eq!(nearest("chanel", known), Some("channel"));
        assert_eq!(nearest("keep_local", known), Some("keep-local"));
        assert_eq!(nearest("colour", known), None);
    }
}
