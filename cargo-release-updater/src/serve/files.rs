//! From a request to a file of the served folder, never outside it.

use super::http::{Head, Range, Reply};
use crate::storage::{SHORT, cache_control, content_type};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Answers a request from the files under `root`, which is canonical.
pub(super) fn reply(root: &Path, head: &Head) -> Reply {
    if !matches!(head.method.as_str(), "GET" | "HEAD") {
        return Reply::status(405).with("Allow", "GET, HEAD");
    }
    match open(root, &head.path) {
        Some((file, path)) => file_reply(file, &path, head).unwrap_or_else(|_| Reply::status(500)),
        // Short-lived: a root that is asked for today may be published tomorrow.
        None => Reply::status(404).with("Cache-Control", SHORT),
    }
}

/// Opens the file that a path names; `None` for anything that is not a file below the root.
fn open(root: &Path, path: &str) -> Option<(File, PathBuf)> {
    let decoded = percent_decode(path)?;
    let mut file = root.to_owned();
    for part in decoded.split('/').filter(|part| !part.is_empty()) {
        // Hidden files are the publisher's own: locks and half-written objects.
        if part.starts_with('.') || part.contains(['\\', '\0']) {
            return None;
        }
        file.push(part);
    }
    if decoded.ends_with('/') {
        file.push("index.html");
    }
    // Follows links, and only then looks where it ended: a link may point anywhere.
    let file = file.canonicalize().ok()?;
    if !file.starts_with(root) || !file.is_file() {
        return None;
    }
    Some((File::open(&file).ok()?, file))
}

fn file_reply(mut file: File, path: &Path, head: &Head) -> std::io::Result<Reply> {
    let metadata = file.metadata()?;
    let length = metadata.len();
    let changed = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let object = object(path);
    let tag = format!("\"{length:x}-{:x}\"", changed.as_nanos());
    let headers = |reply: Reply| {
        reply.with("ETag", tag.clone()).with("Accept-Ranges", "bytes").with("Cache-Control", cache_control(&object))
    };

    if let Some(known) = head.header("if-none-match")
        && (known.trim() == "*" || known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag))
    {
        let nothing = Reply { status: 304, headers: Vec::new(), length: 0, body: Box::new(std::io::empty()) };
        return Ok(headers(nothing));
    }
    // RFC 9110 section 13.1.5: a range of a file that has changed since is answered with the whole file.
    let same = head.header("if-range").is_none_or(|known| known == tag);
    let range = head.header("range").filter(|_| same).map_or(Range::Whole, |range| Range::parse(range, length));
    let (status, first, count) = match range {
        Range::Whole => (200, 0, length),
        Range::Part(first, last) => (206, first, last - first + 1),
        Range::Unsatisfiable => {
            return Ok(Reply::status(416).with("Content-Range", format!("bytes */{length}")));
        }
    };
    file.seek(SeekFrom::Start(first))?;
    let reply = Reply { status, headers: Vec::new(), length: count, body: Box::new(file.take(count)) };
    let reply = headers(reply).with("Content-Type", content_type(&object));
    Ok(match status {
        206 => reply.with("Content-Range", format!("bytes {first}-{}/{length}", first + count - 1)),
        _ => reply,
    })
}

/// Returns the name of a file and of its folder: what an object is called in its repository, wherever that lies.
fn object(path: &Path) -> String {
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
    format!("{}/{}", folder.to_string_lossy(), path.file_name().unwrap_or_default().to_string_lossy())
}

/// Decodes `%41`; `None` for a broken escape or bytes that are no UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok().filter(|digits| !digits.starts_with('+'))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(percent_decode("/a%20b%2Fc"), Some("/a b/c".to_owned()));
        for bad in ["%", "%4", "%zz", "%+1", "%ff"] {
            assert_eq!(percent_decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_repository_may_lie_anywhere_below_the_root() {
        for (path, expected) in [
            ("/r/metadata/1.root.json", "metadata/1.root.json"),
            ("/r/hello/targets/0a.hello.tar.xz", "targets/0a.hello.tar.xz"),
            ("/r/hello/VERSION", "hello/VERSION"),
        ] {
            assert_eq!(object(Path::new(path)), expected);
        }
        assert_eq!(content_type(&object(Path::new("/r/hello/VERSION"))), "text/plain; charset=utf-8");
    }
}
