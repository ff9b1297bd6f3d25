//! Signatures made by stock minisign: a legacy `.minisig` of a file is a signature of the file's very bytes, which is
//! what TUF wants.

use super::CeremonyError;
use base64::Engine as _;
use std::path::Path;

/// Reads the Ed25519 signature out of a `.minisig` that `minisign -S -l` made.
/// # Errors
/// [`CeremonyError::Signature`] for anything else, a prehashed one (without `-l`) included.
pub fn read_signature(path: &Path) -> Result<[u8; 64], CeremonyError> {
    let text = std::fs::read_to_string(path).map_err(super::io("read", path))?;
    parse(&text).map_err(|rule| CeremonyError::Signature { path: path.to_owned(), rule })
}

fn parse(text: &str) -> Result<[u8; 64], &'static str> {
    let line = text.lines().nth(1).ok_or("it has no second line")?;
    let bytes =
        base64::engine::general_purpose::STANDARD.decode(line.trim()).map_err(|_| "its second line is no base64")?;
    let (algorithm, rest) = bytes.split_first_chunk::<2>().ok_or("it is too short")?;
    match algorithm {
        b"Ed" => {}
        b"ED" => return Err("it is prehashed; minisign needs the option -l"),
        _ => return Err("its algorithm is unknown"),
    }
    // Eight bytes of key id, then the signature.
    rest.get(8..).and_then(|signature| signature.try_into().ok()).ok_or("it has another length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_signatures_only() {
        let line = |algorithm: &[u8], length: usize| {
            let bytes = [algorithm, &[7; 8], &vec![9; length]].concat();
            format!("untrusted comment: x\n{}\n", base64::engine::general_purpose::STANDARD.encode(bytes))
        };
        assert_eq!(parse(&line(b"Ed", 64)), Ok([9; 64]));
        assert_eq!(parse(&line(b"ED", 64)), Err("it is prehashed; minisign needs the option -l"));
        assert_eq!(parse(&line(b"XX", 64)), Err("its algorithm is unknown"));
        assert_eq!(parse(&line(b"Ed", 63)), Err("it has another length"));
        assert_eq!(parse("one line"), Err("it has no second line"));
        assert_eq!(parse("x\n!\n"), Err("its second line is no base64"));
    }
}
