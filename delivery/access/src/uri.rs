//! For which addresses a token is: the claim `catu`.
//!
//! Spec: CTA-5007 §4.6.5.

use aws_lc_rs::digest;
use coset::cbor::Value;

use crate::visit::Visit;

/// Part of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `https`. Over HTTP it is not known here which of the two it is: either will do.
    Scheme,
    /// Without port.
    Host,
    /// As digits; what the scheme implies is nothing.
    Port,
    /// From the first slash on, without the token.
    Path,
    /// What follows the question mark, without the token.
    Query,
    /// The path up to its last slash, without it.
    Folder,
    /// What follows the last slash.
    File,
    /// The file's name up to its first dot.
    Stem,
    /// The rest of it, with the dot.
    Extension,
}

const PARTS: [Part; 9] = [
    Part::Scheme,
    Part::Host,
    Part::Port,
    Part::Path,
    Part::Query,
    Part::Folder,
    Part::File,
    Part::Stem,
    Part::Extension,
];

/// How a part must look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// So.
    Exact(String),
    /// It begins so.
    Prefix(String),
    /// It ends so.
    Suffix(String),
    /// It has this in it.
    Contains(String),
    /// This is its SHA-256.
    Sha256(Vec<u8>),
}

impl Match {
    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Exact(want) => text == want,
            Self::Prefix(want) => text.starts_with(want.as_str()),
            Self::Suffix(want) => text.ends_with(want.as_str()),
            Self::Contains(want) => text.contains(want.as_str()),
            Self::Sha256(want) => {
                digest::digest(&digest::SHA256, text.as_bytes()).as_ref() == want.as_slice()
            }
        }
    }
}

/// All of them must fit.
pub(crate) type Places = Vec<(Part, Match)>;

/// Reads the claim; `None` when something of it is not understood: then nobody knows what it forbids.
pub(crate) fn read(claim: &Value) -> Option<Places> {
    let mut places = Vec::new();
    for (part, matches) in claim.as_map()? {
        let part = *PARTS.get(usize::try_from(i128::from(part.as_integer()?)).ok()?)?;
        let matches = matches.as_map().filter(|m| !m.is_empty())?;
        for (how, what) in matches {
            let text = || what.as_text().map(str::to_owned);
            places.push((
                part,
                match i128::from(how.as_integer()?) {
                    0 => Match::Exact(text()?),
                    1 => Match::Prefix(text()?),
                    2 => Match::Suffix(text()?),
                    3 => Match::Contains(text()?),
                    -1 => Match::Sha256(what.as_bytes()?.clone()),
                    _ => return None,
                },
            ));
        }
    }
    Some(places)
}

/// The claim for these places.
pub(crate) fn write(places: &[(Part, Match)]) -> Value {
    let mut claim: Vec<(Value, Value)> = Vec::new();
    for (part, how) in places {
        let number = PARTS.iter().position(|p| p == part).unwrap_or_default();
        let (how, what) = match how {
            Match::Exact(text) => (0, Value::from(text.as_str())),
            Match::Prefix(text) => (1, Value::from(text.as_str())),
            Match::Suffix(text) => (2, Value::from(text.as_str())),
            Match::Contains(text) => (3, Value::from(text.as_str())),
            Match::Sha256(hash) => (-1, Value::from(hash.as_slice())),
        };
        let (key, one) = (Value::from(number as u64), (Value::from(how), what));
        match claim.iter_mut().find(|(k, _)| *k == key) {
            Some((_, Value::Map(matches))) => matches.push(one),
            _ => claim.push((key, Value::Map(vec![one]))),
        }
    }
    Value::Map(claim)
}

/// Whether a visit is within all of them.
pub(crate) fn fit(places: &[(Part, Match)], visit: &Visit<'_>) -> bool {
    let (folder, file) = visit.path.rsplit_once('/').unwrap_or(("", visit.path));
    let (stem, extension) = file.split_at(file.find('.').unwrap_or(file.len()));
    places.iter().all(|(part, how)| {
        if *part == Part::Scheme && visit.scheme == "http" && how.fits("https") {
            return true;
        }
        how.fits(match part {
            Part::Scheme => visit.scheme,
            Part::Host => visit.host,
            Part::Port => visit.port,
            Part::Path => visit.path,
            Part::Query => visit.query,
            Part::Folder => folder,
            Part::File => file,
            Part::Stem => stem,
            Part::Extension => extension,
        })
    })
}
