//! The two PEM-wrapped key types of foreign TUF repositories: just enough DER to find the key inside.

use crate::base64;

/// Returns the 65-byte uncompressed point of a P-256 `SubjectPublicKeyInfo` in PEM.
pub(crate) fn ecdsa_point(pem: &str) -> Option<Vec<u8>> {
    let der = from_pem(pem)?;
    let (algorithm, key) = subject_public_key(&der)?;
    // OIDs id-ecPublicKey and prime256v1 (RFC 5480 section 2.1.1).
    let expected: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    (algorithm == expected && key.len() == 65 && key[0] == 4).then(|| key.to_vec())
}

/// Returns the PKCS#1 `RSAPublicKey` of an RSA `SubjectPublicKeyInfo` in PEM.
pub(crate) fn rsa_public_key(pem: &str) -> Option<Vec<u8>> {
    let der = from_pem(pem)?;
    let (algorithm, key) = subject_public_key(&der)?;
    // OID rsaEncryption with NULL parameters (RFC 3279 section 2.3.1).
    let expected: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    (algorithm == expected).then(|| key.to_vec())
}

fn from_pem(pem: &str) -> Option<Vec<u8>> {
    let body = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?.strip_suffix("-----END PUBLIC KEY-----")?;
    base64::decode(&body.split_ascii_whitespace().collect::<String>())
}

/// Splits `SEQUENCE { SEQUENCE algorithm, BIT STRING key }` (RFC 5280 section 4.1.2.7).
fn subject_public_key(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (outer, rest) = element(der, 0x30)?;
    let (algorithm, tail) = element(outer, 0x30)?;
    let (bits, end) = element(tail, 0x03)?;
    let (unused, key) = bits.split_first()?;
    (*unused == 0 && rest.is_empty() && end.is_empty()).then_some((algorithm, key))
}

/// Reads one DER element of the given tag: its content and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (usize::from(*rest.first()?) << 8 | usize::from(*rest.get(1)?), rest.get(2..)?),
        _ => return None,
    };
    Some((rest.get(..length)?, rest.get(length..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_p256_key_made_by_openssl() {
        let pem = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n-----END PUBLIC KEY-----\n";
        let point = ecdsa_point(pem).unwrap();
        assert_eq!((point.len(), point[0]), (65, 4));
        assert_eq!(rsa_public_key(pem), None);
        for cut in 0..pem.len() - 1 {
            assert_eq!(ecdsa_point(&pem[..cut]), None, "cut at {cut}");
        }
    }
}
