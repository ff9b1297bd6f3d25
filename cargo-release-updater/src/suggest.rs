//! "Did you mean": the known word nearest to one that is none, for channels, apps, components, packages and versions.
//! Commands and options are clap's business.

/// Returns the known word nearest to another one, when a slip of the fingers could explain the difference.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let edits = |candidate: &str| strsim::osa_distance(word, candidate);
    let all: Vec<_> = known.into_iter().map(|candidate| (edits(candidate), candidate)).collect();
    // Of a version one digit: 1.4.0 and 2.4.1 have nothing to do with each other.
    let most = |candidate: &str| match candidate.starts_with(|first: char| first.is_ascii_digit()) {
        true => 1,
        false => 1 + candidate.len() / 4,
    };
    // The last of several: versions come in order, and the newest is meant more often.
    let near = all.into_iter().rev().filter(|(edits, candidate)| *edits <= most(candidate));
    near.min_by_key(|(edits, _)| *edits).map(|(_, candidate)| candidate)
}

/// Writes what helps somebody who has named what there is not: the word that was meant, perhaps, and all there are.
pub(crate) fn hint(word: &str, known: &[&str]) -> String {
    let all = known.join(", ");
    match nearest(word, known.iter().copied()) {
        Some(near) if known.len() == 1 => format!("did you mean `{near}`?"),
        Some(near) => format!("did you mean `{near}`? There are {all}"),
        None => format!("use one of: {all}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_answered_with_the_word_and_anything_else_with_all() {
        let channels = ["stable", "beta", "nightly"];
        assert_eq!(hint("stabel", &channels), "did you mean `stable`? There are stable, beta, nightly");
        assert_eq!(hint("production", &channels), "use one of: stable, beta, nightly");
        assert_eq!(hint("stble", &["stable"]), "did you mean `stable`?");
        assert_eq!(hint("1.4.0", &["1.4.1", "1.4.2"]), "did you mean `1.4.2`? There are 1.4.1, 1.4.2");
        assert_eq!(hint("3.0.0", &["1.4.1", "1.2.0"]), "use one of: 1.4.1, 1.2.0");
        assert_eq!(nearest("helo", ["hello", "help-desk"]), Some("hello"));
    }
}
