//! CPIX documents: content keys, and what each key system wants to be told (DASH-IF CPIX 2.3).
//!
//! Read are `ContentKey` with a plain secret, `DRMSystem` (`PSSH`, `ContentProtectionData`, `URIExtXKey`,
//! `HLSSignalingData`), and of usage rules the intended track type: a key that is for pictures comes before one that is
//! only for sound, because every track of a stream has the same key here. Refused are encrypted secrets. Not read are
//! signatures, periods and filters.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use zeroize::Zeroizing;

use crate::key::{HlsKey, System, from_base64, parse_hex};

/// Keys, and key systems, that a document may have.
const ITEMS_MAX: usize = 1_000;
/// Elements inside each other.
const DEPTH_MAX: usize = 64;

/// A key of a document.
#[derive(Debug, Clone)]
pub struct ContentKey {
    /// `kid`.
    pub id: [u8; 16],
    /// The secret.
    pub key: Zeroizing<[u8; 16]>,
    /// `explicitIV`.
    pub iv: Option<[u8; 16]>,
    /// Ways to get it.
    pub systems: Vec<System>,
    /// `intendedTrackType` of its first usage rule.
    pub intended: Option<String>,
}

/// What is wrong with a document. Never quotes it: it holds keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CpixError {
    /// Not XML.
    #[error("the XML is broken at byte {0}")]
    Xml(u64),
    /// Another document.
    #[error("the root element is not CPIX")]
    Root,
    /// Its keys are encrypted for somebody.
    #[error("its keys are encrypted; ask for a document with PlainValue over a connection that is trusted")]
    Encrypted,
    /// Something is missing or of another form.
    #[error("{0}")]
    Field(&'static str),
    /// More than anybody needs.
    #[error("it has more than {ITEMS_MAX} keys or key systems, or too deep elements")]
    TooLarge,
}

#[derive(Default)]
struct Document {
    keys: Vec<(ContentKey, bool)>,
    systems: Vec<([u8; 16], System)>,
    rules: Vec<([u8; 16], String)>,
}

/// The keys of a document, those for pictures or for everything first.
///
/// # Errors
/// [`CpixError`].
pub fn parse(text: &str) -> Result<Vec<ContentKey>, CpixError> {
    let mut reader = Reader::from_str(text);
    let mut document = Document::default();
    let mut path: Vec<String> = Vec::new();
    let mut words = Zeroizing::new(String::new());
    loop {
        let event = reader.read_event().map_err(|_| CpixError::Xml(reader.error_position()))?;
        match event {
            Event::Start(start) => {
                document.open(&start, path.is_empty())?;
                path.push(name(&start));
                words.clear();
                if path.len() > DEPTH_MAX {
                    return Err(CpixError::TooLarge);
                }
            }
            Event::Empty(start) => document.open(&start, path.is_empty())?,
            Event::Text(more) => words.push_str(&more),
            Event::End(_) => {
                let inner = path.pop().unwrap_or_default();
                document.close(&inner, &words)?;
                words.clear();
            }
            Event::Eof if path.is_empty() => break,
            Event::Eof => return Err(CpixError::Xml(reader.buffer_position())),
            _ => {}
        }
    }
    document.finish()
}

fn name(start: &BytesStart<'_>) -> String {
    start.local_name().as_ref().to_owned()
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = start.attributes().flatten().find(|a| a.key.local_name().as_ref() == name)?;
    Some(found.value.into_owned())
}

fn kid(start: &BytesStart<'_>) -> Result<[u8; 16], CpixError> {
    attribute(start, "kid")
        .and_then(|text| parse_hex(&text))
        .ok_or(CpixError::Field("a kid is missing or is no UUID"))
}

impl Document {
    fn open(&mut self, start: &BytesStart<'_>, is_root: bool) -> Result<(), CpixError> {
        let name = name(start);
        if is_root && name != "CPIX" {
            return Err(CpixError::Root);
        }
        if self.keys.len().max(self.systems.len()).max(self.rules.len()) >= ITEMS_MAX {
            return Err(CpixError::TooLarge);
        }
        match name.as_str() {
            "ContentKey" => {
                let iv = attribute(start, "explicitIV").map(|text| {
                    let iv = from_base64(&text).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
                    iv.ok_or(CpixError::Field("an explicitIV is not 16 bytes of base64"))
                });
                let (id, iv) = (kid(start)?, iv.transpose()?);
                let key = Zeroizing::new([0; 16]);
                self.keys.push((ContentKey { id, key, iv, systems: Vec::new(), intended: None }, false));
            }
            "DRMSystem" => {
                let id = attribute(start, "systemId").and_then(|text| parse_hex(&text));
                let id = id.ok_or(CpixError::Field("a systemId is missing or is no UUID"))?;
                let system =
                    System { id, pssh: Vec::new(), hls: None, licence_url: None, dash: String::new() };
                self.systems.push((kid(start)?, system));
            }
            "ContentKeyUsageRule" => {
                if let Some(intended) = attribute(start, "intendedTrackType") {
                    self.rules.push((kid(start)?, intended));
                }
            }
            "EncryptedValue" => return Err(CpixError::Encrypted),
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, name: &str, words: &str) -> Result<(), CpixError> {
        let text = |what: &'static str| {
            let bytes = from_base64(words).ok_or(CpixError::Field(what))?;
            String::from_utf8(bytes).map_err(|_| CpixError::Field(what))
        };
        match name {
            "PlainValue" => {
                let bytes = Zeroizing::new(from_base64(words).unwrap_or_default());
                let bytes = <[u8; 16]>::try_from(bytes.as_slice());
                let bytes = bytes.map_err(|_| CpixError::Field("a PlainValue is not 16 bytes of base64"))?;
                if let Some((key, has)) = self.keys.last_mut() {
                    (key.key, *has) = (Zeroizing::new(bytes), true);
                }
            }
            "PSSH" | "ContentProtectionData" | "URIExtXKey" | "HLSSignalingData" => {
                let Some((_, system)) = self.systems.last_mut() else { return Ok(()) };
                match name {
                    "PSSH" => {
                        let pssh = from_base64(words).filter(|b| b.get(4..8) == Some(b"pssh"));
                        system.pssh = pssh.ok_or(CpixError::Field("a PSSH is no box in base64"))?;
                    }
                    "ContentProtectionData" => {
                        let dash = text("a ContentProtectionData is no text in base64")?;
                        system.dash = well_formed(&dash)?;
                    }
                    "URIExtXKey" => {
                        let uri = text("an URIExtXKey is no text in base64")?;
                        let format = format_of(&system.id);
                        let hls = HlsKey { format, versions: Some("1".into()), uri };
                        system.hls.get_or_insert(checked(hls).map_err(CpixError::Field)?);
                    }
                    _ => {
                        let lines = text("an HLSSignalingData is no text in base64")?;
                        let tag = |l: &str| l.split_once(':').map(|(_, list)| list.to_owned());
                        let line = lines
                            .lines()
                            .find(|l| l.starts_with("#EXT-X-KEY") || l.starts_with("#EXT-X-SESSION-KEY"));
                        if let Some(hls) = line.and_then(tag).and_then(|list| signalled(&list)) {
                            system.hls = Some(checked(hls).map_err(CpixError::Field)?);
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<ContentKey>, CpixError> {
        let Self { keys, systems, rules } = self;
        if keys.is_empty() {
            return Err(CpixError::Field("it holds no ContentKey"));
        }
        let mut all = Vec::with_capacity(keys.len());
        for (mut key, has) in keys {
            if !has {
                return Err(CpixError::Field("a ContentKey has no PlainValue"));
            }
            key.systems = systems.iter().filter(|(of, _)| *of == key.id).map(|(_, s)| s.clone()).collect();
            key.intended = rules.iter().find(|(of, _)| *of == key.id).map(|(_, intended)| intended.clone());
            all.push(key);
        }
        all.sort_by_key(|key| key.intended.as_deref().is_some_and(|of| of.contains("AUDIO")));
        Ok(all)
    }
}

/// An attribute list as `EXT-X-KEY` has it.
fn signalled(list: &str) -> Option<HlsKey> {
    let mut rest = list;
    let (mut format, mut versions, mut uri) = (None, None, None);
    while let Some((name, behind)) = rest.split_once('=') {
        let (value, next) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => behind.split_at(behind.find(',').unwrap_or(behind.len())),
        };
        match name.trim() {
            "KEYFORMAT" => format = Some(value.to_owned()),
            "KEYFORMATVERSIONS" => versions = Some(value.to_owned()),
            "URI" => uri = Some(value.to_owned()),
            _ => {}
        }
        rest = next.strip_prefix(',').unwrap_or(next);
    }
    Some(HlsKey { format: format.unwrap_or_else(|| "identity".into()), versions, uri: uri? })
}

/// `KEYFORMAT` of a key system.
fn format_of(system: &[u8; 16]) -> String {
    match *system {
        crate::FAIRPLAY => "com.apple.streamingkeydelivery".into(),
        crate::PLAYREADY => "com.microsoft.playready".into(),
        _ => format!("urn:uuid:{}", crate::uuid(system)),
    }
}

/// What may stand in a playlist: no quotes and no line breaks.
///
/// # Errors
/// In words.
pub fn checked(hls: HlsKey) -> Result<HlsKey, &'static str> {
    let texts = [
        Cow::Borrowed(&hls.format),
        Cow::Borrowed(&hls.uri),
        Cow::Owned(hls.versions.clone().unwrap_or_default()),
    ];
    if texts.iter().any(|text| text.contains(|c: char| c == '"' || c.is_control())) {
        return Err("what is to stand in EXT-X-KEY has quotes or line breaks in it");
    }
    Ok(hls)
}

/// Elements that may stand in a manifest as they are.
fn well_formed(xml: &str) -> Result<String, CpixError> {
    let broken = CpixError::Field("a ContentProtectionData is no XML");
    let mut reader = Reader::from_str(xml);
    let mut depth = 0usize;
    loop {
        match reader.read_event() {
            Ok(Event::Start(_)) => depth += 1,
            Ok(Event::End(_)) => depth = depth.checked_sub(1).ok_or(broken.clone())?,
            Ok(Event::Eof) if depth == 0 => break,
            Ok(Event::Empty(_) | Event::Text(_) | Event::Comment(_)) => {}
            _ => return Err(broken),
        }
    }
    Ok(format!("{}\n", xml.trim()))
}

#[cfg(test)]
mod tests;
