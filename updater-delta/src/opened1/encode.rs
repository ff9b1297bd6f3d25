//! Makes the codec's own bytes.

use super::find::{changed, streams};
use super::view::{Span, View};
use super::{MAX_STREAMS, leb128};
use crate::apply::Output;
use crate::{DiffError, DiffOptions};
use std::io::{Cursor, Read as _, Write as _};

/// Makes the codec's own bytes, with `inner` for the delta between the opened files. `None` if there is nothing worth opening, or if opening takes
/// more memory than there is.
pub(crate) fn encode(
    old: &[u8],
    new: &[u8],
    options: &DiffOptions<'_>,
    inner: impl FnOnce(&[u8], &[u8], &DiffOptions<'_>) -> Result<Vec<u8>, DiffError>,
) -> Result<Option<Vec<u8>>, DiffError> {
    let (ours, theirs) = (streams(old), streams(new));
    let mut pairs = changed((old, &ours), (new, &theirs));
    // A stream that does not come out as it was, or is too large, stays closed; so does what would only serve it.
    pairs.retain(|(_, theirs)| is_closed_again(new, theirs.span, options.memory));
    let mut used: Vec<Span> = pairs.iter().map(|(ours, _)| ours.span).collect();
    used.sort_by_key(|span| span.offset);
    used.dedup();
    // What applying opens, and with its copy within what making may take.
    let most = (options.apply_memory / 2).min(options.memory / 2);
    used.retain(|&span| View::new(&mut Cursor::new(old), old.len() as u64, &[span], most).is_ok());
    if used.is_empty() || used.len() as u64 > MAX_STREAMS {
        return Ok(None);
    }
    let theirs: Vec<Span> =
        pairs.iter().filter(|(ours, _)| used.contains(&ours.span)).map(|(_, theirs)| theirs.span).collect();
    let Some((ours, taken)) = open(old, &used, most) else { return Ok(None) };
    let left = options.memory.saturating_sub(ours.len() as u64);
    let room = (options.memory.saturating_sub((old.len() + new.len()) as u64) / 8).min(left / 2);
    let Some((theirs, _)) = open(new, &theirs, room) else { return Ok(None) };
    if theirs.len() as u64 > super::most_opened(new.len() as u64) {
        return Ok(None);
    }
    let mut body = Vec::new();
    let count = used.len();
    leb128::put(&mut body, count as u64);
    let mut end = 0;
    for span in used {
        leb128::put(&mut body, span.offset - end);
        leb128::put(&mut body, span.length);
        end = span.offset + span.length;
    }
    // What the applying side has left for the delta inside.
    let apply_memory = options.apply_memory.saturating_sub(super::memory_beside_view(count) + taken);
    // The inner delta counts nothing of its own two files, and these are here besides.
    let memory = left.saturating_sub(theirs.len() as u64);
    let options = DiffOptions { memory, apply_memory, ..options.clone() };
    body.extend(inner(&ours, &theirs, &options)?);
    Ok(Some(body))
}

/// Returns a file with these streams opened, and the memory that this takes, if that is at most `memory` bytes; the copy that is
/// returned comes on top.
fn open(file: &[u8], spans: &[Span], memory: u64) -> Option<(Vec<u8>, u64)> {
    let length = file.len() as u64;
    let mut file = Cursor::new(file);
    let mut view = View::new(&mut file, length, spans, memory).ok()?;
    let mut opened = Vec::with_capacity(usize::try_from(view.length()).ok()?);
    view.read_to_end(&mut opened).ok()?;
    Some((opened, view.taken()))
}

fn is_closed_again(file: &[u8], span: Span, memory: u64) -> bool {
    let bytes = &file[span.offset as usize..][..span.length as usize];
    let whole = Span { offset: 0, ..span };
    // It is there twice while it is opened, and once beside what is made of it.
    let memory = MOST_OPENED.min(memory.saturating_sub(span.length) / 2);
    let Some((opened, _)) = open(bytes, &[whole], memory) else { return false };
    let mut made = Vec::new();
    let mut output = Output::new(&mut made, span.length);
    let mut closer = super::Closer::new(&mut output);
    let written = closer.write_all(&opened).is_ok() && closer.finish().is_ok();
    written && output.flush().is_ok() && made == bytes
}

/// Most bytes that one stream may have when it is opened: 1 GiB.
const MOST_OPENED: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    /// A gzip file of blocks that are stored and not packed: the longest that it has are opened as they are.
    fn gzip(contents: &[u8]) -> Vec<u8> {
        let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        let blocks = contents.chunks(60_000);
        let last = blocks.len() - 1;
        for (index, block) in blocks.enumerate() {
            let length = block.len() as u16;
            file.push(u8::from(index == last));
            file.extend(length.to_le_bytes());
            file.extend((!length).to_le_bytes());
            file.extend(block);
        }
        file.extend([0; 8]);
        file
    }

    #[test]
    fn what_is_opened_counts_as_memory_of_the_work() {
        let old: Vec<u8> = (0..400_000_u32).flat_map(|number| (number / 3).to_le_bytes()).collect();
        let mut new = old.clone();
        new[700_000] ^= 1;
        let (old, new) = (gzip(&old), gzip(&new));
        let inner = |memory: u64| {
            let (mut given, options) = (None, DiffOptions { memory, ..DiffOptions::default() });
            let made = encode(&old, &new, &options, |ours, theirs, options| {
                given = Some((ours.len() as u64 + theirs.len() as u64, options.memory));
                Ok(Vec::new())
            });
            assert_eq!(made.unwrap().is_some(), given.is_some());
            given
        };
        let (opened, left) = inner(1 << 30).unwrap();
        assert!(opened >= 3_000_000, "{opened} bytes are not both files");
        assert_eq!(left, (1 << 30) - opened);
        assert_eq!(inner(4 << 20), None, "two opened files of 1.6 MB, and a view of one, are more than 4 MiB");
    }
}
