//! What is closed for one place opens there alone, and nowhere once it was altered.

use super::*;

#[test]
fn a_field_opens_where_it_belongs_and_nowhere_else() {
    let vault = Vault::new(&Seal::new(b"one ring"), "auth-service");
    let stored = vault.close("totp 7", b"secret").expect("closed");
    assert_eq!(vault.open("totp 7", &stored).expect("ours"), b"secret");
    assert_ne!(stored, vault.close("totp 7", b"secret").expect("closed"), "the same field, another nonce");
    assert!(vault.open("totp 8", &stored).is_err(), "somebody else's");
    for (secret, service) in [("one ring", "token-mgr"), ("another", "auth-service")] {
        let other = Vault::new(&Seal::new(secret.as_bytes()), service);
        assert!(other.open("totp 7", &stored).is_err(), "{secret}, {service}");
    }
    for at in 0..stored.len() {
        let mut altered = stored.clone();
        altered[at] ^= 1;
        assert!(vault.open("totp 7", &altered).is_err(), "byte {at}");
        assert!(vault.open("totp 7", &stored[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn a_tag_is_of_one_text_and_one_service() {
    let vault = Vault::new(&Seal::new(b"one ring"), "token-mgr");
    let tag = vault.tag("family 1");
    assert!(vault.is_tag("family 1", &tag));
    for (text, tag) in
        [("family 2", tag.as_str()), ("family 1", ""), ("family 1", "?"), ("family 1", &tag[1..])]
    {
        assert!(!vault.is_tag(text, tag), "{text} {tag}");
    }
    assert_ne!(tag, Vault::new(&Seal::new(b"one ring"), "auth-service").tag("family 1"));
}

#[test]
fn secrets_do_not_repeat() {
    let one = fresh().expect("randomness");
    assert_eq!(one.len(), 43);
    assert_ne!(one, fresh().expect("randomness"));
}
