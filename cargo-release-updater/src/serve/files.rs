//! From a request to a file of the served folder, never outside it.

use super::http::{Head, Range, Reply};
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
    let tag = format!("\"{length:x}-{:x}\"", changed.as_nanos());
    let headers = |reply: Reply| {
        reply.with("ETag", tag.clone()).with("Accept-Ranges", "bytes").with("Cache-Control", cache_control(path))
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
    let reply = headers(reply).with("Content-Type", content_type(path));
    Ok(match status {
        206 => reply.with("Content-Range", format!("bytes {first}-{}/{length}", first + count - 1)),
        _ => reply,
    })
}

/// Versioned metadata and hashed targets never change; everything else may be replaced at any time.
fn cache_control(path: &Path) -> &'static str {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
    let versioned = name.split_once('.').is_some_and(|(number, _)| number.bytes().all(|b| b.is_ascii_digit()));
    match folder.to_str() {
        Some("metadata") if versioned => IMMUTABLE,
        // A signature is replaced when a release is promoted.
        Some("targets") if !name.ends_with(".minisig") => IMMUTABLE,
        _ => SHORT,
    }
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => "application/json",
        Some("html") => "text/html; charset=utf-8",
        Some("md" | "sh" | "ps1" | "minisig") => "text/plain; charset=utf-8",
        Some("xz") => "application/x-xz",
        _ => "application/octet-stream",
    }
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

/// For what never changes: one year, the longest that caches honour.
const IMMUTABLE: &str = "max-age=31536000, immutable";
/// For what may be replaced: a minute, then ask again.
const SHORT: &str = "max-age=60, must-revalidate";

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
    fn only_what_never_changes_is_immutable() {
        for (path, expected) in [
            ("/r/metadata/1.root.json", IMMUTABLE),
            ("/r/metadata/12.stable.json", IMMUTABLE),
            ("/r/metadata/timestamp.json", SHORT),
            ("/r/targets/0a.hello.tar.xz", IMMUTABLE),
            ("/r/targets/0a.hello.tar.xz.minisig", SHORT),
            ("/r/VERSION", SHORT),
        ] {
            assert_eq!(cache_control(Path::new(path)), expected, "{path}");
        }
    }
}
