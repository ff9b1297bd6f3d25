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
    pairs.retain(|(_, theirs)| is_closed_again(new, theirs.span));
    let mut used: Vec<Span> = pairs.iter().map(|(ours, _)| ours.span).collect();
    used.sort_by_key(|span| span.offset);
    used.dedup();
    let most = options.apply_memory / 2;
    used.retain(|&span| open(old, &[span], most).is_some());
    if used.is_empty() || used.len() as u64 > MAX_STREAMS {
        return Ok(None);
    }
    let theirs: Vec<Span> =
        pairs.iter().filter(|(ours, _)| used.contains(&ours.span)).map(|(_, theirs)| theirs.span).collect();
    let room = options.memory.saturating_sub((old.len() + new.len()) as u64) / 8;
    let Some(((ours, taken), (theirs, _))) = open(old, &used, most).zip(open(new, &theirs, room)) else {
        return Ok(None);
    };
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
    let options = DiffOptions { apply_memory, ..options.clone() };
    body.extend(inner(&ours, &theirs, &options)?);
    Ok(Some(body))
}

/// Returns a file with these streams opened, and the memory that this takes, if that is at most `memory` bytes.
fn open(file: &[u8], spans: &[Span], memory: u64) -> Option<(Vec<u8>, u64)> {
    let length = file.len() as u64;
    let mut file = Cursor::new(file);
    let mut view = View::new(&mut file, length, spans, memory).ok()?;
    let mut opened = Vec::with_capacity(usize::try_from(view.length()).ok()?);
    view.read_to_end(&mut opened).ok()?;
    Some((opened, view.taken()))
}

fn is_closed_again(file: &[u8], span: Span) -> bool {
    let bytes = &file[span.offset as usize..][..span.length as usize];
    let whole = Span { offset: 0, ..span };
    let Some((opened, _)) = open(bytes, &[whole], MOST_OPENED) else { return false };
    let mut made = Vec::new();
    let mut output = Output::new(&mut made, span.length);
    let mut closer = super::Closer::new(&mut output);
    let written = closer.write_all(&opened).is_ok() && closer.finish().is_ok();
    written && output.flush().is_ok() && made == bytes
}

/// Most bytes that one stream may have when it is opened: 1 GiB.
const MOST_OPENED: u64 = 1 << 30;
