//! Properties of every type of key: what was encrypted comes back, what was signed holds, and nothing that was altered does.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Two keys of a type; those of RSA take long to make.
struct Pair(Kind, Material, Material);

static PAIRS: LazyLock<Vec<Pair>> = LazyLock::new(|| {
    let cheap = |kind: &Kind| !matches!(kind, Kind::Rsa3072 | Kind::Rsa4096);
    let kinds = Kind::ALL.map(|(kind, _)| kind).into_iter().filter(cheap);
    kinds
        .map(|kind| Pair(kind, Material::generate(kind).unwrap(), Material::generate(kind).unwrap()))
        .collect()
});

fn that(can: fn(Kind) -> bool) -> impl Iterator<Item = &'static Pair> {
    PAIRS.iter().filter(move |pair| can(pair.0))
}

/// With one bit turned.
fn turned(bytes: &[u8], at: Index) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = at.index(bytes.len() * 8);
    bytes[at / 8] ^= 1 << (at % 8);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn what_was_encrypted_comes_back_and_nothing_else(
        plain in proptest::collection::vec(any::<u8>(), 0..150),
        aad in proptest::collection::vec(any::<u8>(), 0..40),
        at: Index,
    ) {
        for Pair(kind, ours, other) in that(Kind::encrypts) {
            let aad = if kind.is_rsa() { &[] } else { &aad[..] };
            let sealed = ours.encrypt(&plain, aad).unwrap();
            prop_assert_ne!(&sealed, &ours.encrypt(&plain, aad).unwrap(), "never the same twice");
            prop_assert_eq!(&*ours.decrypt(&sealed, aad).unwrap(), &plain);
            let restored = Material::restore(*kind, &ours.secrets(), ours.public().to_vec()).unwrap();
            prop_assert_eq!(&*restored.decrypt(&sealed, aad).unwrap(), &plain);
            let no = |opened: Result<_, Fault>| opened.err() == Some(Fault::Foreign);
            prop_assert!(no(ours.decrypt(&turned(&sealed, at), aad)), "{:?}", kind);
            prop_assert!(no(ours.decrypt(&sealed[..at.index(sealed.len())], aad)));
            prop_assert!(no(other.decrypt(&sealed, aad)));
            if !kind.is_rsa() {
                prop_assert!(no(ours.decrypt(&sealed, &[aad, &[0]].concat())));
                if !aad.is_empty() {
                    prop_assert!(no(ours.decrypt(&sealed, &turned(aad, at))));
                }
            }
        }
    }

    #[test]
    fn a_context_has_a_key_of_its_own(
        context in proptest::collection::vec(any::<u8>(), 1..40),
        plain in proptest::collection::vec(any::<u8>(), 0..60),
        at: Index,
    ) {
        for Pair(kind, ours, _) in that(Kind::derives) {
            let (one, again) = (ours.derived(&context).unwrap(), ours.derived(&context).unwrap());
            let other = ours.derived(&turned(&context, at)).unwrap();
            if *kind == Kind::Ed25519 {
                let signature = one.sign(&Scheme::default(), &plain).unwrap();
                let holds = |by: &Material| by.verify(&Scheme::default(), &plain, &signature).unwrap();
                prop_assert_eq!([holds(&again), holds(&other), holds(ours)], [true, false, false]);
                continue;
            }
            let sealed = one.encrypt(&plain, &[]).unwrap();
            prop_assert_eq!(&*again.decrypt(&sealed, &[]).unwrap(), &plain);
            prop_assert!(other.decrypt(&sealed, &[]).is_err() && ours.decrypt(&sealed, &[]).is_err());
        }
    }

    #[test]
    fn what_was_signed_holds_and_nothing_else(
        input in proptest::collection::vec(any::<u8>(), 1..150),
        jws: bool,
        pkcs1: bool,
        at: Index,
    ) {
        let form = if jws { Form::Jws } else { Form::Asn1 };
        let padding = if pkcs1 { Padding::Pkcs1 } else { Padding::Pss };
        for Pair(kind, ours, other) in that(Kind::signs) {
            for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512, Hash::Sha224, Hash::Sha3_512] {
                if kind.is_rsa() && !matches!(hash, Hash::Sha256 | Hash::Sha384 | Hash::Sha512) {
                    continue;
                }
                let scheme = Scheme { hash, prehashed: false, form, padding };
                let signature = ours.sign(&scheme, &input).unwrap();
                let holds = |by: &Material, input: &[u8], signature: &[u8]| by.verify(&scheme, input, signature).unwrap();
                prop_assert!(holds(ours, &input, &signature), "{:?} {:?}", kind, hash);
                prop_assert!(!holds(other, &input, &signature));
                prop_assert!(!holds(ours, &turned(&input, at), &signature));
                prop_assert!(!holds(ours, &input, &turned(&signature, at)));
                if *kind != Kind::Ed25519 {
                    let (hashed, digest) = (Scheme { prehashed: true, ..scheme }, hash.of(&input));
                    prop_assert!(ours.verify(&hashed, digest.as_ref(), &signature).unwrap());
                    let signature = ours.sign(&hashed, digest.as_ref()).unwrap();
                    prop_assert!(holds(ours, &input, &signature));
                    prop_assert!(ours.sign(&hashed, &input[..1]).is_err(), "that is no hash");
                }
            }
        }
    }

    #[test]
    fn a_tag_is_of_one_key_and_one_text(input in proptest::collection::vec(any::<u8>(), 1..80), at: Index) {
        for Pair(_, ours, other) in PAIRS.iter() {
            let tag = ours.mac(Hash::Sha384, &input).unwrap();
            let is = |by: &Material, input: &[u8], tag: &[u8]| by.is_mac(Hash::Sha384, input, tag).unwrap();
            prop_assert!(is(ours, &input, &tag) && !is(other, &input, &tag));
            prop_assert!(!is(ours, &turned(&input, at), &tag) && !is(ours, &input, &turned(&tag, at)));
            prop_assert!(!is(ours, &input, &tag[..at.index(tag.len())]));
        }
    }
}

#[test]
fn the_large_keys_of_rsa_do_the_same() {
    for kind in [Kind::Rsa3072, Kind::Rsa4096] {
        let key = Material::generate(kind).unwrap();
        let sealed = key.encrypt(b"a data key", &[]).unwrap();
        assert_eq!(*key.decrypt(&sealed, &[]).unwrap(), b"a data key");
        let signature = key.sign(&Scheme::default(), b"text").unwrap();
        assert!(key.verify(&Scheme::default(), b"text", &signature).unwrap());
        assert!(key.export().starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert!(matches!(key.encrypt(&[0; 500], &[]), Err(Fault::Wrong(_))));
    }
}

#[test]
fn names_lead_back() {
    for (kind, name) in Kind::ALL {
        assert_eq!((Kind::parse(name).unwrap(), kind.name()), (kind, name));
    }
    assert!(matches!(Kind::parse("des"), Err(Fault::NotBuilt(_))));
    assert!(matches!(Hash::parse("sha1"), Err(Fault::NotBuilt(_))));
}
