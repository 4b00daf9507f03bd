//! Serial numbers and the machine id leave a tool only as keyed hashes: they tell two hosts apart and name neither.
use sha2::{Digest as _, Sha256};

const BLOCK: usize = 64;

/// HMAC-SHA-256 of the value under the node's key, bound to its purpose; the first 16 bytes in hex.
pub fn keyed_hash(key: &[u8; 32], purpose: &str, value: &str) -> String {
    let mut message = purpose.as_bytes().to_vec();
    message.push(0);
    message.extend_from_slice(value.as_bytes());
    hex::encode(&hmac_sha256(key, &message)[..16])
}

/// RFC 2104 for keys that fit into one block.
fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let padded = |pad: u8| {
        let mut block = [pad; BLOCK];
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        block
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_is_that_of_rfc_4231() {
        // test case 1; a shorter key is padded with zeros, so 32 bytes with a zero tail are the same key
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert_eq!(hex::encode(hmac_sha256(&key, b"Hi There")), expected);
    }

    #[test]
    fn key_and_purpose_both_count() {
        let one = keyed_hash(&[1; 32], "serial", "ABC");
        assert_eq!(one.len(), 32);
        assert_eq!(one, keyed_hash(&[1; 32], "serial", "ABC"));
        assert_ne!(one, keyed_hash(&[2; 32], "serial", "ABC"));
        assert_ne!(one, keyed_hash(&[1; 32], "machine-id", "ABC"));
    }
}
