//! Numbers of seven bits per byte, the lowest first; the high bit says that more follow.

/// Appends a number.
pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads a number and tells how many bytes it took; `None` if it does not end within [`MOST`] bytes.
pub(super) fn get(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(MOST).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Some((value, at + 1));
        }
    }
    None
}

/// The longest number in bytes: up to 2^49, more than any file here.
pub(super) const MOST: usize = 7;
