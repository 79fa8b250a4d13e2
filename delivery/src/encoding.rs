//! Content codings of text (RFC 9110 §8.4, §12.5.3): which one a client likes, and making it.
//!
//! Decisions: among equally liked ones brotli, then zstd, then gzip; what gains less than an eighth is sent as it
//! is; a client that refuses `identity` and knows none of ours gets `identity` (§12.5.3 allows it).

use std::io::Write;

use bytes::Bytes;

/// Texts below this are not worth a header.
const WORTH_BYTES: usize = 256;
/// Fast, and still a quarter of the size: a playlist is compressed while players wait for it.
const BROTLI_QUALITY: i32 = 4;
/// 64 KiB: the longest playlist fits.
const BROTLI_WINDOW: i32 = 16;
const ZSTD_LEVEL: i32 = 3;

/// How a text is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Brotli,
    Zstd,
}

impl Coding {
    /// The compressing ones, best liked first.
    pub(crate) const COMPRESSING: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// As `Content-Encoding` calls it, and the end of the entity tag.
    pub(crate) fn token(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// The text in this coding; `None` when that gains too little.
    pub(crate) fn encode(self, text: &[u8]) -> Option<Bytes> {
        if text.len() < WORTH_BYTES {
            return None;
        }
        let coded = match self {
            Self::Identity => return None,
            Self::Gzip => {
                let level = flate2::Compression::fast();
                let mut out = flate2::write::GzEncoder::new(Vec::with_capacity(text.len() / 2), level);
                out.write_all(text).ok()?;
                out.finish().ok()?
            }
            Self::Brotli => {
                let params = brotli::enc::BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    lgwin: BROTLI_WINDOW,
                    size_hint: text.len(),
                    ..Default::default()
                };
                let mut out = Vec::with_capacity(text.len() / 2);
                brotli::BrotliCompress(&mut &*text, &mut out, &params).ok()?;
                out
            }
            Self::Zstd => zstd::bulk::compress(text, ZSTD_LEVEL).ok()?,
        };
        (coded.len() + text.len() / 8 <= text.len()).then(|| coded.into())
    }
}

/// The coding that an `Accept-Encoding` value likes best; without one, `Identity`.
pub(crate) fn choose(accept: Option<&str>) -> Coding {
    let Some(accept) = accept else { return Coding::Identity };
    let weights: Vec<(&str, u16)> = accept.split(',').take(32).map(weight).collect();
    let named = |names: &[&str]| {
        let found = weights.iter().find(|(name, _)| names.iter().any(|n| name.eq_ignore_ascii_case(n)));
        found.map(|(_, q)| *q)
    };
    let any = named(&["*"]);
    let of = |coding: Coding| match coding {
        Coding::Gzip => named(&["gzip", "x-gzip"]).or(any).unwrap_or(0),
        other => named(&[other.token()]).or(any).unwrap_or(0),
    };
    // Named, `identity` competes like the others; else it is the last resort.
    let identity = named(&["identity"]).unwrap_or(0);
    let mut best = (Coding::Identity, identity);
    for coding in Coding::COMPRESSING {
        let q = of(coding);
        if q > best.1 || (q == best.1 && q > 0 && best.0 == Coding::Identity) {
            best = (coding, q);
        }
    }
    best.0
}

/// One element of the list: its name and weight in thousandths. A weight that cannot be read is none.
fn weight(element: &str) -> (&str, u16) {
    let mut halves = element.split(';');
    let name = halves.next().unwrap_or_default().trim();
    let q = halves.find_map(|p| p.trim().strip_prefix("q=").or_else(|| p.trim().strip_prefix("Q=")));
    (name, q.map_or(1000, thousandths))
}

/// A weight such as `0.8` (RFC 9110 §12.4.2).
fn thousandths(text: &str) -> u16 {
    let (whole, rest) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let fraction = if rest.len() <= 3 && rest.bytes().all(|b| b.is_ascii_digit()) {
        format!("{rest:0<3}").parse().unwrap_or(0)
    } else {
        return 0;
    };
    match whole {
        "0" => fraction,
        "1" if fraction == 0 => 1000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn takes_what_the_client_likes_best() {
        for (accept, want) in [
            (None, Coding::Identity),
            (Some(""), Coding::Identity),
            (Some("gzip"), Coding::Gzip),
            (Some("x-gzip"), Coding::Gzip),
            (Some("gzip, deflate, br, zstd"), Coding::Brotli),
            (Some("gzip;q=1.0, br;q=0.5"), Coding::Gzip),
            (Some("gzip;q=0.5, zstd ; q=0.75"), Coding::Zstd),
            (Some("br;q=0, gzip"), Coding::Gzip),
            (Some("BR"), Coding::Brotli),
            (Some("*"), Coding::Brotli),
            (Some("*, br;q=0"), Coding::Zstd),
            (Some("*;q=0"), Coding::Identity),
            (Some("identity"), Coding::Identity),
            (Some("identity;q=1, gzip;q=0.5"), Coding::Identity),
            (Some("identity, gzip"), Coding::Gzip),
            (Some("identity;q=0, compress"), Coding::Identity),
            (Some("gzip;q=2, br;q=x, zstd;q=0.1234"), Coding::Identity),
            (Some("gzip;q=0.001"), Coding::Gzip),
            (Some(",,;;q=,"), Coding::Identity),
        ] {
            assert_eq!(choose(accept), want, "{accept:?}");
        }
    }

    #[test]
    fn no_damage_to_a_header_does_any() {
        let golden = "gzip;q=0.5, br;q=1.000 , zstd;q=0, *;q=0.1";
        for cut in 0..golden.len() {
            let _ = choose(Some(&golden[..cut]));
            for byte in b";,=.*q09 x" {
                let mut bytes = golden.as_bytes().to_vec();
                bytes[cut] = *byte;
                let _ = choose(std::str::from_utf8(&bytes).ok());
            }
        }
        assert_eq!(choose(Some(&"gzip;q=0,".repeat(10_000))), Coding::Identity);
    }

    #[test]
    fn what_was_encoded_decodes_to_the_same() {
        let line = |n: u32| format!("#EXT-X-PART:DURATION=0.33333,URI=\"{n}.m4s\"\n");
        let text: Vec<u8> = (0..100).map(line).collect::<String>().into_bytes();
        let mut gzip = Vec::new();
        let coded = Coding::Gzip.encode(&text).unwrap();
        flate2::read::GzDecoder::new(&*coded).read_to_end(&mut gzip).unwrap();
        let mut br = Vec::new();
        let coded = Coding::Brotli.encode(&text).unwrap();
        brotli::Decompressor::new(&*coded, 4096).read_to_end(&mut br).unwrap();
        let zstd = zstd::bulk::decompress(&Coding::Zstd.encode(&text).unwrap(), 1 << 20).unwrap();
        assert_eq!([&gzip, &br, &zstd], [&text; 3]);
    }

    #[test]
    fn leaves_alone_what_gains_nothing() {
        // xorshift: nothing to find in it.
        let step = |state: &mut u64| {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            Some(*state as u8)
        };
        let noise: Vec<u8> = (0..2000).scan(0x9e37_79b9_7f4a_7c15, |state, _| step(state)).collect();
        for coding in Coding::COMPRESSING {
            assert_eq!(coding.encode(&noise), None, "{coding:?}");
            assert_eq!(coding.encode(&[b'a'; 100]), None, "{coding:?}");
        }
        assert_eq!(Coding::Identity.encode(&[b'a'; 1000]), None);
    }
}
