//! A token that others have made: `@eyevinn/cat` 0.16.4, with the tag of a CWT.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::NOW_S;
use crate::uri::{Match, Part};
use crate::visit::Visit;
use crate::{Claims, Denial, Keys, cose};

const KEY: [u8; 32] = [
    0x40, 0x36, 0x97, 0xde, 0x87, 0xaf, 0x64, 0x61, 0x1c, 0x1d, 0x32, 0xa0, 0x5d, 0xab, 0x0f, 0xe1, 0xfc,
    0xb7, 0x15, 0xa8, 0x6a, 0xb4, 0x35, 0xf1, 0xec, 0x99, 0x19, 0x2d, 0x79, 0x56, 0x93, 0x88,
];
const TOKEN: &str = "2D3RhEOhAQWhBExTeW1tZXRyaWMyNTZYcKoBZHNob3ACZWpvbmFzBBppVccQBhppVbkAB0ILcRkBN4HYNIIYGETAAAIAGQE4oQOhAWsvbGl2ZS9wYWlkLxkBOYFjR0VUGQFDpAACBHdjdGEtY29tbW9uLWFjY2Vzcy10b2tlbgEYeAIYPBkBNgFYICH6vPkY-zqcw8E7sdrrGzylsVumbCLXN81sLdy62wiz";

#[test]
fn a_token_of_another_library_is_understood() {
    let k = URL_SAFE_NO_PAD.encode(KEY);
    let set = format!("{{\"keys\": [{{\"kty\": \"oct\", \"kid\": \"Symmetric256\", \"k\": \"{k}\"}}]}}");
    let token = URL_SAFE_NO_PAD.decode(TOKEN).unwrap();
    let claims = Claims::read(&cose::open(&token, &Keys::parse(&set).unwrap()).unwrap()).unwrap();
    let want = Claims {
        issuer: Some("shop".into()),
        subject: Some("jonas".into()),
        expires_s: NOW_S + 3600,
        issued_s: Some(NOW_S),
        id: vec![0x0b, 0x71],
        networks: vec!["192.0.2.0/24".parse().unwrap()],
        places: vec![(Part::Path, Match::Prefix("/live/paid/".into()))],
        methods: vec!["GET".into()],
        ..Claims::default()
    };
    assert_eq!(claims, want);
    let visit = Visit::of_stream("https", "/live/paid/", "192.0.2.9".parse().unwrap());
    assert_eq!(claims.admit(&visit, NOW_S), Ok(()));
    assert_eq!(claims.admit(&Visit { path: "/live/free/", ..visit }, NOW_S), Err(Denial::Elsewhere));
}
