//! `corpus [NAME...]`: fetches the pairs of real programs and prints where they are, one line each.

use std::io::Write as _;
use updater_tests::corpus;

fn main() -> std::io::Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let mut out = std::io::stdout().lock();
    for pair in corpus::PAIRS {
        if (wanted.is_empty() || wanted.iter().any(|name| name == pair.name))
            && let Some(files) = corpus::fetch(pair.name)
        {
            let lengths = [&files.old, &files.new].map(|path| std::fs::metadata(path).map_or(0, |m| m.len()));
            writeln!(
                out,
                "{}\t{}\t{}\t{} -> {}\t{} -> {} bytes\t{}",
                pair.name,
                files.old.display(),
                files.new.display(),
                pair.old,
                pair.new,
                lengths[0],
                lengths[1],
                pair.format
            )?;
        }
    }
    Ok(())
}
