//! What the header of a Mach-O file says about processors (`<mach-o/loader.h>`, `<mach-o/fat.h>`).

use crate::Platform;

/// Reads the beginning of a file: the processors that it has code for. `None` when it is no 64-bit Mach-O file of a known
/// shape.
#[must_use]
pub fn processors(header: &[u8]) -> Option<Vec<u32>> {
    let number = |at: usize| header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    match header.get(..4)? {
        // One processor, 64 bit, little-endian.
        [0xcf, 0xfa, 0xed, 0xfe] => Some(vec![u32::from_le_bytes(number(4)?)]),
        // Several; the table is big-endian on every system. A Java class begins like this too, with a large number here.
        [0xca, 0xfe, 0xba, 0xbe] => {
            let count = u32::from_be_bytes(number(4)?) as usize;
            if count > MAX_PROCESSORS {
                return None;
            }
            (0..count).map(|at| number(TABLE + at * RECORD).map(u32::from_be_bytes)).collect()
        }
        _ => None,
    }
}

/// Returns the processor of a platform of Apple; `None` for any other.
#[must_use]
pub fn of(platform: &Platform) -> Option<u32> {
    match platform.as_str().split_once("-apple-")?.0 {
        "aarch64" | "arm64e" => Some(ARM64),
        "x86_64" | "x86_64h" => Some(X86_64),
        _ => None,
    }
}

/// How much of a file is read, in bytes: the table of the most processors.
pub const HEADER: usize = TABLE + MAX_PROCESSORS * RECORD;
const TABLE: usize = 8;
const RECORD: usize = 20;
/// The most processors in one file: 16. There are two that matter.
const MAX_PROCESSORS: usize = 16;
/// `CPU_TYPE_X86_64`.
const X86_64: u32 = 0x0100_0007;
/// `CPU_TYPE_ARM64`.
const ARM64: u32 = 0x0100_000c;

#[cfg(test)]
mod tests {
    use super::*;

    fn universal(processors: &[u32]) -> Vec<u8> {
        let mut bytes = [[0xca, 0xfe, 0xba, 0xbe], u32::try_from(processors.len()).unwrap().to_be_bytes()].concat();
        for processor in processors {
            bytes.extend_from_slice(&processor.to_be_bytes());
            bytes.extend_from_slice(&[0; RECORD - 4]);
        }
        bytes
    }

    #[test]
    fn one_processor_and_several_are_read() {
        let thin = [[0xcf, 0xfa, 0xed, 0xfe], ARM64.to_le_bytes(), [0; 4]].concat();
        assert_eq!(processors(&thin).unwrap(), [ARM64]);
        assert_eq!(processors(&universal(&[X86_64, ARM64])).unwrap(), [X86_64, ARM64]);
        let largest = universal(&[ARM64; MAX_PROCESSORS]);
        assert_eq!(processors(&largest[..HEADER]).unwrap().len(), MAX_PROCESSORS);
    }

    #[test]
    fn what_is_none_or_is_cut_off_says_nothing() {
        // A class file of Java 17.
        let java = [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 61];
        let cut = universal(&[X86_64, ARM64]);
        for bytes in [&b""[..], b"\x7fELF", &java, &cut[..cut.len() - RECORD], &[0xcf, 0xfa, 0xed, 0xfe, 1]] {
            assert_eq!(processors(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn only_platforms_of_apple_have_them() {
        let of = |text: &str| of(&Platform::parse(text).unwrap());
        assert_eq!(of("aarch64-apple-darwin"), Some(ARM64));
        assert_eq!(of("x86_64-apple-darwin"), Some(X86_64));
        assert_eq!(of("aarch64-unknown-linux-gnu"), None);
    }
}
