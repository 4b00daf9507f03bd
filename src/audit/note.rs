//! C2SP signed-note with ECDSA P-256 signatures (type 0x02): the only kind a TPM 2.0 can make that note readers know.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::DerSignature;
use p256::ecdsa::VerifyingKey;
use p256::ecdsa::signature::Verifier as _;
use p256::pkcs8::DecodePublicKey as _;
use p256::pkcs8::EncodePublicKey as _;
use p256::pkcs8::LineEnding;
use sha2::Digest as _;
use sha2::Sha256;

const ECDSA: u8 = 0x02;
const DASH: &str = "\u{2014} ";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("this is not a signed note: {rule}")]
    Shape { rule: &'static str },
    #[error("no signature by key `{name}+{id:08x}` is on the note")]
    NotSignedBy { name: String, id: u32 },
    #[error("the signature by key `{name}+{id:08x}` is wrong")]
    WrongSignature { name: String, id: u32 },
    #[error("`{text}` is not a verifier key: {rule}")]
    Key { text: String, rule: &'static str },
}

/// The public key that signs notes, with the name it signs under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteKey {
    name: String,
    spki: Vec<u8>,
    key: VerifyingKey,
}

impl NoteKey {
    /// From a SubjectPublicKeyInfo in DER.
    pub fn new(name: &str, spki: &[u8]) -> Result<Self, NoteError> {
        let fail = |rule| NoteError::Key { text: name.to_owned(), rule };
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '+' || c.is_control()) {
            return Err(fail("its name is empty or has a space or a `+`"));
        }
        let key = VerifyingKey::from_public_key_der(spki).map_err(|_| fail("it is no P-256 public key"))?;
        Ok(NoteKey { name: name.to_owned(), spki: spki.to_vec(), key })
    }

    /// From the text of a key file: a `vkey` line, or a PEM public key, which signs under the name `if_pem`.
    pub fn read(text: &str, if_pem: &str) -> Result<Self, NoteError> {
        if text.trim_start().starts_with("-----BEGIN") {
            let key = VerifyingKey::from_public_key_pem(text.trim())
                .map_err(|_| NoteError::Key { text: "PEM".to_owned(), rule: "it is no P-256 public key" })?;
            let spki = key
                .to_public_key_der()
                .map_err(|_| NoteError::Key { text: "PEM".to_owned(), rule: "it cannot be written as DER" })?;
            return NoteKey::new(if_pem, spki.as_bytes());
        }
        let text = text.trim();
        let fail = |rule| NoteError::Key { text: text.to_owned(), rule };
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(fail("it is neither `name+id+key` nor PEM"));
        };
        let key = STANDARD.decode(key).map_err(|_| fail("its key is not base64"))?;
        let Some((&ECDSA, spki)) = key.split_first() else {
            return Err(fail("its signature type is not ECDSA (2)"));
        };
        let key = NoteKey::new(name, spki)?;
        if u32::from_str_radix(id, 16) != Ok(key.id()) {
            return Err(fail("its id is not that of its key"));
        }
        Ok(key)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of SHA-256 over the SubjectPublicKeyInfo, as signatures of type 0x02 have it.
    pub fn id(&self) -> u32 {
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(&self.spki));
        u32::from_be_bytes([a, b, c, d])
    }

    /// `name+id+key`, as Go's sumdb note writes verifier keys.
    pub fn vkey(&self) -> String {
        let key = [&[ECDSA], self.spki.as_slice()].concat();
        format!("{}+{:08x}+{}", self.name, self.id(), STANDARD.encode(key))
    }

    pub fn pem(&self) -> Result<String, NoteError> {
        self.key
            .to_public_key_pem(LineEnding::LF)
            .map_err(|_| NoteError::Key { text: self.name.clone(), rule: "it cannot be written as PEM" })
    }

    /// Checks an ASN.1 DER signature over `text`.
    pub fn accepts(&self, text: &str, signature: &[u8]) -> bool {
        DerSignature::try_from(signature).is_ok_and(|signature| self.key.verify(text.as_bytes(), &signature).is_ok())
    }

    /// Puts text and signature together to a note.
    pub fn note(&self, text: &str, signature: &[u8]) -> String {
        let signature = [&self.id().to_be_bytes(), signature].concat();
        format!("{text}\n{DASH}{} {}\n", self.name, STANDARD.encode(signature))
    }

    /// The text of a note that this key signed. Signatures of other keys (witnesses) are passed over.
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, NoteError> {
        let (text, signatures) = split(note)?;
        let (name, id) = (self.name.clone(), self.id());
        let mut ours = signatures.iter().filter(|signature| signature.name == self.name && signature.id == id);
        let Some(signature) = ours.next() else { return Err(NoteError::NotSignedBy { name, id }) };
        if self.accepts(text, &signature.bytes) { Ok(text) } else { Err(NoteError::WrongSignature { name, id }) }
    }
}

struct Signature<'a> {
    name: &'a str,
    id: u32,
    bytes: Vec<u8>,
}

/// The text of a note, whoever signed it.
pub fn text_of(note: &str) -> Result<&str, NoteError> {
    split(note).map(|(text, _)| text)
}

fn split(note: &str) -> Result<(&str, Vec<Signature<'_>>), NoteError> {
    let fail = |rule| NoteError::Shape { rule };
    if note.chars().any(|c| c.is_control() && c != '\n') {
        return Err(fail("it holds control characters"));
    }
    let at = note.rfind("\n\n").ok_or(fail("no empty line stands before its signatures"))?;
    let (text, lines) = (&note[..at + 1], &note[at + 2..]);
    let lines = lines.strip_suffix('\n').ok_or(fail("its last line does not end"))?;
    let signature = |line: &'_ str| -> Option<(usize, u32, Vec<u8>)> {
        let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
        let bytes = STANDARD.decode(encoded).ok()?;
        let (id, bytes) = bytes.split_first_chunk::<4>()?;
        (!name.is_empty() && !bytes.is_empty()).then(|| (name.len(), u32::from_be_bytes(*id), bytes.to_vec()))
    };
    let mut signatures = Vec::new();
    for line in lines.split('\n') {
        let (name, id, bytes) = signature(line).ok_or(fail("a signature line is malformed"))?;
        signatures.push(Signature { name: &line[DASH.len()..DASH.len() + name], id, bytes });
    }
    Ok((text, signatures))
}

#[cfg(test)]
pub mod signing {
    //! A key in memory, for tests of what a TPM signs in earnest.
    use p256::ecdsa::SigningKey;
    use p256::ecdsa::signature::Signer as _;
    use p256::pkcs8::EncodePublicKey as _;

    use super::DerSignature;
    use super::NoteKey;

    pub struct Pair(SigningKey, pub NoteKey);

    impl Pair {
        pub fn new(name: &str, seed: u8) -> Self {
            let key = SigningKey::from_slice(&[seed; 32]).expect("a scalar");
            let spki = key.verifying_key().to_public_key_der().expect("DER");
            let public = NoteKey::new(name, spki.as_bytes()).expect("a P-256 key");
            Pair(key, public)
        }

        pub fn sign(&self, text: &str) -> String {
            let signature: DerSignature = self.0.sign(text.as_bytes());
            self.1.note(text, signature.as_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::signing::Pair;
    use super::*;

    #[test]
    fn a_note_opens_with_the_key_that_signed_it_and_no_other() {
        let (ours, other) = (Pair::new("dsmil/n1", 7), Pair::new("dsmil/n1", 8));
        let note = ours.sign("dsmil/n1\n1\nAA==\n");
        assert_eq!(ours.1.open(&note), Ok("dsmil/n1\n1\nAA==\n"));
        assert!(matches!(other.1.open(&note), Err(NoteError::NotSignedBy { .. })));
        let forged = note.replacen("\n1\n", "\n2\n", 1);
        assert!(matches!(ours.1.open(&forged), Err(NoteError::WrongSignature { .. })));
        assert!(matches!(ours.1.open("no note"), Err(NoteError::Shape { .. })));
    }

    #[test]
    fn a_witness_signature_beside_ours_is_passed_over() {
        let (ours, witness) = (Pair::new("dsmil/n1", 7), Pair::new("witness.example", 8));
        let text = "dsmil/n1\n1\nAA==\n";
        let (note, other) = (ours.sign(text), witness.sign(text));
        let line = other.lines().last().expect("a line");
        assert_eq!(ours.1.open(&format!("{note}{line}\n")), Ok(text));
    }

    #[test]
    fn a_key_survives_both_its_text_forms() {
        let key = Pair::new("dsmil/n1", 7).1;
        assert_eq!(NoteKey::read(&key.vkey(), "x").as_ref(), Ok(&key));
        assert_eq!(NoteKey::read(&key.pem().expect("PEM"), "dsmil/n1").as_ref(), Ok(&key));
        let bent = key.vkey().replacen("dsmil/n1+", "dsmil/n1+0", 1);
        assert!(NoteKey::read(&bent.replacen("+0", "+f", 1), "x").is_err());
        assert!(NoteKey::read("dsmil/n1", "x").is_err());
    }
}
