//! Signatures that were made elsewhere: by stock minisign, or by this program into the document itself.
//!
//! A legacy `.minisig` is a signature of the file's very bytes, which is what TUF wants. Its trusted comment is signed
//! apart, together with the first signature, and nothing of it gets into the metadata: it is not looked at.

use super::CeremonyError;
use base64::Engine as _;
use std::path::Path;
use updater_format::digest::decode_hex;
use updater_format::json::{self, Value};

/// Signatures out of one file, of whatever they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signatures(pub(super) Vec<Vec<u8>>);

/// Reads the Ed25519 signatures out of a `.minisig` that `minisign -S -l` made, or out of a signed document.
/// # Errors
/// [`CeremonyError::Signature`] for anything else, a prehashed one (without `-l`) included.
pub fn read_signatures(path: &Path) -> Result<Signatures, CeremonyError> {
    let io = |source| CeremonyError::Io { action: "read", path: path.to_owned(), source };
    let bytes = std::fs::read(path).map_err(io)?;
    let read = if bytes.starts_with(b"{") { of_document(&bytes) } else { of_minisig(&bytes).map(|one| vec![one]) };
    read.map(Signatures).map_err(|rule| CeremonyError::Signature { path: path.to_owned(), rule })
}

fn of_minisig(bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is no text")?;
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
    rest.get(8..).filter(|signature| signature.len() == SIGNATURE).map(<[u8]>::to_vec).ok_or("it has another length")
}

/// What the document says is not looked at: a signature that is none of the draft is of no use.
fn of_document(bytes: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    let value = json::parse("document", bytes).map_err(|_| "it is no signed document")?;
    let Value::Object(map) = &value else { return Err("it is no signed document") };
    let Some(Value::Array(signatures)) = map.get("signatures") else {
        return Err("it has no signatures: the exported file itself was given");
    };
    let one = |entry: &Value| match entry {
        Value::Object(entry) => decode_hex(entry.get("sig")?.as_str()?).filter(|bytes| bytes.len() == SIGNATURE),
        _ => None,
    };
    let found: Vec<_> = signatures.iter().filter_map(one).collect();
    if found.is_empty() { Err("nobody has signed it") } else { Ok(found) }
}

/// Bytes of an Ed25519 signature.
const SIGNATURE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_signatures_only() {
        let line = |algorithm: &[u8], length: usize| {
            let bytes = [algorithm, &[7; 8], &vec![9; length]].concat();
            format!("untrusted comment: x\n{}\n", base64::engine::general_purpose::STANDARD.encode(bytes))
        };
        let parse = |text: &str| of_minisig(text.as_bytes());
        assert_eq!(parse(&line(b"Ed", 64)), Ok(vec![9; 64]));
        assert_eq!(parse(&line(b"ED", 64)), Err("it is prehashed; minisign needs the option -l"));
        assert_eq!(parse(&line(b"XX", 64)), Err("its algorithm is unknown"));
        assert_eq!(parse(&line(b"Ed", 63)), Err("it has another length"));
        assert_eq!(parse("one line"), Err("it has no second line"));
        assert_eq!(parse("x\n!\n"), Err("its second line is no base64"));
        assert_eq!(of_minisig(&[0xff]), Err("it is no text"));
    }

    #[test]
    fn signatures_of_a_document() {
        let signature = "ab".repeat(64);
        let document =
            format!(r#"{{"signatures":[{{"keyid":"x","sig":"{signature}"}},{{"sig":"00"}}],"signed":{{}}}}"#);
        assert_eq!(of_document(document.as_bytes()), Ok(vec![vec![0xab; 64]]));
        assert_eq!(of_document(br#"{"signatures":[],"signed":{}}"#), Err("nobody has signed it"));
        assert_eq!(
            of_document(br#"{"_type":"root"}"#),
            Err("it has no signatures: the exported file itself was given")
        );
        assert_eq!(of_document(b"{"), Err("it is no signed document"));
    }
}
