//! What playlists say of keys: `EXT-X-KEY`, `EXT-X-SESSION-KEY`.
//!
//! One line for each key system that has something to say in HLS. Spec: RFC 8216bis §4.4.4.4, §4.4.6.5.

use std::fmt::{self, Write as _};

use nx_crypt::{HlsKey, Protection, Scheme, TsCipher, hex};

const KEY: &str = "#EXT-X-KEY";
const IDENTITY: &str = "identity";

/// Key from here on; `None` where nothing is encrypted any more.
pub(crate) fn write(told: Option<&Protection>, out: &mut String) -> fmt::Result {
    match told {
        Some(told) => lines(told, KEY, out),
        None => none(out),
    }
}

/// Keys that a player may get before it has read a media playlist.
pub(crate) fn write_session(told: &Protection, out: &mut String) -> fmt::Result {
    lines(told, "#EXT-X-SESSION-KEY", out)
}

/// Key of segments in MPEG-TS from here on. `iv` is that of the next segment if it is encrypted whole and the IV is not its
/// media sequence number.
pub(crate) fn write_ts(told: Option<&Protection>, iv: Option<u64>, out: &mut String) -> fmt::Result {
    let Some(told) = told else { return none(out) };
    let (method, iv) = match told.ts {
        TsCipher::Aes128 => ("AES-128", iv.map(|iv| u128::from(iv).to_be_bytes())),
        TsCipher::SampleAes => ("SAMPLE-AES", Some(told.iv)),
        TsCipher::Off => return Err(fmt::Error),
    };
    // Other key systems are of CMAF; who encrypts whole segments knows the key itself.
    let knows = |key: &&HlsKey| {
        let fairplay = told.ts == TsCipher::SampleAes && key.format.starts_with("com.apple.");
        key.format == IDENTITY || fairplay
    };
    write_lines(told, (KEY, method), knows, iv, out)
}

fn none(out: &mut String) -> fmt::Result {
    out.write_str("#EXT-X-KEY:METHOD=NONE\n")
}

fn lines(told: &Protection, tag: &str, out: &mut String) -> fmt::Result {
    let (method, iv) = match told.scheme {
        Scheme::Cbcs => ("SAMPLE-AES", Some(told.iv)),
        Scheme::Cenc => ("SAMPLE-AES-CTR", None),
    };
    write_lines(told, (tag, method), |_| true, iv, out)
}

fn write_lines(
    told: &Protection,
    (tag, method): (&str, &str),
    knows: impl Fn(&&HlsKey) -> bool,
    iv: Option<[u8; 16]>,
    out: &mut String,
) -> fmt::Result {
    let systems = told.systems.iter().filter_map(|s| s.hls.as_ref()).filter(knows);
    let mut any = false;
    for HlsKey { format, versions, uri } in systems {
        any = true;
        write!(out, "{tag}:METHOD={method},URI=\"{uri}\",KEYFORMAT=\"{format}\"")?;
        if let Some(versions) = versions {
            write!(out, ",KEYFORMATVERSIONS=\"{versions}\"")?;
        }
        // What the header says already; players of Widevine and PlayReady want the key's name here.
        if format.starts_with("urn:uuid:") {
            write!(out, ",KEYID=0x{}", hex(&told.key_id))?;
        }
        if let Some(iv) = iv.filter(|_| format == IDENTITY) {
            write!(out, ",IV=0x{}", hex(&iv))?;
        }
        out.write_char('\n')?;
    }
    if !any {
        // Nobody told a way that HLS knows; the segments are encrypted all the same.
        writeln!(out, "{tag}:METHOD={method},URI=\"urn:uuid:{}\"", nx_crypt::uuid(&told.key_id))?;
    }
    Ok(())
}
