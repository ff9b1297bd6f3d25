//! The log of a recorded run: each call with its paths and bytes.

use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// One call that succeeded.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// Its arguments in order.
    pub arguments: Vec<Argument>,
    /// What it returned.
    pub result: i64,
}

/// An argument of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// A string or bytes.
    Bytes(Vec<u8>),
    /// A descriptor, with the path behind it.
    Descriptor(i64, PathBuf),
    /// Anything else, as strace shows it.
    Other(String),
}

impl Record {
    /// Returns the bytes of an argument; none when it has none.
    #[must_use]
    pub fn bytes(&self, at: usize) -> &[u8] {
        match self.arguments.get(at) {
            Some(Argument::Bytes(bytes)) => bytes,
            _ => b"",
        }
    }

    /// Returns the descriptor of an argument and the path behind it.
    #[must_use]
    pub fn descriptor(&self, at: usize) -> Option<(i64, &Path)> {
        match self.arguments.get(at) {
            Some(Argument::Descriptor(number, path)) => Some((*number, path)),
            _ => None,
        }
    }

    /// Returns an argument that is neither; empty when it is one.
    #[must_use]
    pub fn word(&self, at: usize) -> &str {
        match self.arguments.get(at) {
            Some(Argument::Other(word)) => word,
            _ => "",
        }
    }

    /// Returns the path of an argument: a name, below the descriptor before it if there is one.
    #[must_use]
    pub fn path(&self, at: usize) -> PathBuf {
        let name = PathBuf::from(std::ffi::OsString::from_vec(self.bytes(at).to_vec()));
        let base = at.checked_sub(1).and_then(|before| self.descriptor(before));
        base.map_or(name.clone(), |(_, base)| base.join(name))
    }
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}(", self.name)?;
        for (at, argument) in self.arguments.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { ", " })?;
            match argument {
                Argument::Bytes(bytes) if bytes.len() > SHOWN => write!(f, "{} bytes", bytes.len())?,
                Argument::Bytes(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes))?,
                Argument::Descriptor(number, path) => write!(f, "{number}<{}>", path.display())?,
                Argument::Other(word) => f.write_str(word)?,
            }
        }
        write!(f, ") = {}", self.result)
    }
}

/// Reads the calls that succeeded, in order.
/// # Errors
/// When the log cannot be read, or holds a line that is no call.
pub fn read(log: &Path) -> io::Result<Vec<Record>> {
    let text = String::from_utf8_lossy(&std::fs::read(log)?).into_owned();
    let mut records = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with("+++") && !line.starts_with("---")) {
        let strange = || io::Error::other(format!("a line of the log: {}", line.chars().take(200).collect::<String>()));
        let (name, rest) = line.split_once('(').ok_or_else(strange)?;
        let (arguments, result) = rest.rsplit_once(" = ").ok_or_else(strange)?;
        let number = result.split(['<', ' ']).next().unwrap_or_default();
        let result: i64 = number.parse().map_err(|_| strange())?;
        if result >= 0 {
            let arguments = arguments.trim_end().strip_suffix(')').ok_or_else(strange)?;
            let arguments = arguments.split(", ").map(argument).collect::<Option<Vec<_>>>().ok_or_else(strange)?;
            records.push(Record { name: name.to_owned(), arguments, result });
        }
    }
    Ok(records)
}

/// Reads one argument. No string has a comma or an angle in it: all its bytes are in hexadecimal.
fn argument(text: &str) -> Option<Argument> {
    if let Some(quoted) = text.strip_prefix('"') {
        return unescape(quoted.strip_suffix('"')?).map(Argument::Bytes);
    }
    if let Some((number, path)) = text.strip_suffix('>').and_then(|text| text.split_once('<')) {
        let path = PathBuf::from(std::ffi::OsString::from_vec(unescape(path)?));
        return Some(Argument::Descriptor(number.parse().unwrap_or(-1), path));
    }
    Some(Argument::Other(text.to_owned()))
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |escape: &[u8]| match escape {
        [b'\\', b'x', high, low] => Some(digit(*high)? * 16 + digit(*low)?),
        _ => None,
    };
    text.as_bytes().chunks(4).map(byte).collect()
}

/// The most bytes of an argument that are shown.
const SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_with_their_bytes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let log = concat!(
            "openat(AT_FDCWD<\\x2f>, \"\\x2f\\x61\", O_WRONLY|O_CREAT, 0600) = 3<\\x2f\\x61>\n",
            "write(3<\\x2f\\x61>, \"\\x00\\x2c\\xff\", 3) = 3\n",
            "mkdir(\"\\x2f\\x62\", 0700) = -1 EEXIST (File exists)\n",
            "+++ exited with 0 +++\n",
        );
        std::fs::write(file.path(), log).unwrap();
        let records = read(file.path()).unwrap();
        let [open, write] = &records[..] else { panic!("{records:?}") };
        assert_eq!((open.path(1), open.word(2), open.result), (PathBuf::from("/a"), "O_WRONLY|O_CREAT", 3));
        assert_eq!((write.bytes(1), write.descriptor(0)), (&b"\0,\xff"[..], Some((3, Path::new("/a")))));
        assert_eq!(write.to_string(), "write(3</a>, \"\\0,\u{fffd}\", 3) = 3");
    }
}
