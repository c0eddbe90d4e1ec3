//! A page of plain text that a person signs: a signed note (C2SP `signed-note`) over it, which tools of others verify too.

use super::note::{Note, NoteError, VerifierKey};
use super::signer::Signer;

/// Returns a page with the signature of its author below it. It ends with a newline, and has no other control characters.
pub(crate) fn sign(page: &str, signer: &Signer) -> String {
    format!("{page}\n{}", signer.sign(page))
}

/// Returns the page that this key has signed.
///
/// # Errors
/// If it has not, or what was signed is not what is there.
pub(crate) fn verify(signed: &str, key: &VerifierKey) -> Result<String, NoteError> {
    let note = Note::parse(signed)?;
    note.signers(std::slice::from_ref(key))?;
    Ok(note.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_believed_as_its_author_signed_it() {
        let signer = Signer::sample("jane.auditor.example");
        let page = "a page\n\nwith two parts\n";
        let signed = sign(page, &signer);
        assert_eq!(verify(&signed, signer.verifier()).unwrap(), page);
        let changed = signed.replace("two parts", "one part");
        assert!(matches!(
            verify(&changed, signer.verifier()),
            Err(NoteError::WrongSignature(_))
        ));
        let other = signer.verifier().named("john.auditor.example");
        assert!(matches!(verify(&signed, &other), Err(NoteError::UnknownKey(_))));
    }
}
