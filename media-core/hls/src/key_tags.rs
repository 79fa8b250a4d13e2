//! What playlists say of keys: `EXT-X-KEY`, `EXT-X-SESSION-KEY`.
//!
//! One line for each key system that has something to say in HLS. Spec: RFC 8216bis §4.4.4.4, §4.4.6.5.

use std::fmt::{self, Write as _};

use nx_crypt::{HlsKey, Protection, Scheme, hex};

/// Key from here on; `None` where nothing is encrypted any more.
pub(crate) fn write(told: Option<&Protection>, out: &mut String) -> fmt::Result {
    let Some(told) = told else { return out.write_str("#EXT-X-KEY:METHOD=NONE\n") };
    lines(told, "#EXT-X-KEY", out)
}

/// Keys that a player may get before it has read a media playlist.
pub(crate) fn write_session(told: &Protection, out: &mut String) -> fmt::Result {
    lines(told, "#EXT-X-SESSION-KEY", out)
}

fn lines(told: &Protection, tag: &str, out: &mut String) -> fmt::Result {
    let method = match told.scheme {
        Scheme::Cbcs => "SAMPLE-AES",
        Scheme::Cenc => "SAMPLE-AES-CTR",
    };
    let systems = told.systems.iter().filter_map(|s| s.hls.as_ref());
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
        if format == "identity" && told.scheme == Scheme::Cbcs {
            write!(out, ",IV=0x{}", hex(&told.iv))?;
        }
        out.write_char('\n')?;
    }
    if !any {
        // Nobody told a way that HLS knows; the segments are encrypted all the same.
        writeln!(out, "{tag}:METHOD={method},URI=\"urn:uuid:{}\"", nx_crypt::uuid(&told.key_id))?;
    }
    Ok(())
}
