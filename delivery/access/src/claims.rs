//! What a token says, and whether that lets a visit in.
//!
//! Spec: RFC 8392 §3, CTA-5007 §4. A claim with a number that is not understood here might forbid something and refuses the token;
//! what tells how to renew it (`catr`), or what to say when it does not hold (`catif`, `catifdata`), is passed over.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use coset::cbor::Value;
use ipnet::IpNet;

use crate::denial::Denial;
use crate::uri::{self, Match, Part};
use crate::visit::Visit;

/// The audience of tokens that nodes show each other: they may fetch anything, and share what they get.
pub const NODE: &str = "node";
/// How far clocks may be apart where a token does not hold yet, seconds.
const SKEW_S: i64 = 60;
/// How far the clock of who makes tokens may be ahead, seconds.
pub(crate) const CLOCKS_S: i64 = 5;
/// The version of CTA-5007.
const VERSION: i128 = 1;

const ISS: i64 = 1;
const SUB: i64 = 2;
const AUD: i64 = 3;
const EXP: i64 = 4;
const NBF: i64 = 5;
const IAT: i64 = 6;
const CTI: i64 = 7;
const REPLAY: i64 = 308;
const CATV: i64 = 310;
const NETWORKS: i64 = 311;
const URI: i64 = 312;
const METHODS: i64 = 313;
const COUNTRIES: i64 = 316;
/// How to go on when it does not hold, and how to renew it.
const HARMLESS: [i64; 3] = [320, 322, 323];

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    /// Who made it.
    pub issuer: Option<String>,
    /// For whom, as they are called there.
    pub subject: Option<String>,
    /// For whom it is meant to prove something.
    pub audience: Vec<String>,
    /// Until when; Unix seconds.
    pub expires_s: i64,
    /// From when on; Unix seconds.
    pub not_before_s: Option<i64>,
    /// When it was made; Unix seconds.
    pub issued_s: Option<i64>,
    /// Its number.
    pub id: Vec<u8>,
    /// Where the viewer must be; empty for anywhere.
    pub networks: Vec<IpNet>,
    /// For which addresses.
    pub places: Vec<(Part, Match)>,
    /// For which methods; empty for all.
    pub methods: Vec<String>,
    /// In which countries, ISO 3166-1; empty for all.
    pub countries: Vec<String>,
}

impl Claims {
    /// Reads the payload of a token that is proved.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, Denial> {
        let mut rest = payload;
        let value: Value = coset::cbor::from_reader(&mut rest).map_err(|_| Denial::Malformed)?;
        let (Value::Map(entries), true) = (value, rest.is_empty()) else { return Err(Denial::Malformed) };
        let mut claims = Self::default();
        let (mut seen, mut ends) = (Vec::with_capacity(entries.len()), false);
        for (label, value) in &entries {
            // Claims under names, or numbers below 0, are private (RFC 8392 §9.1).
            let Some(label) = label.as_integer().and_then(|n| i64::try_from(n).ok()) else { continue };
            if seen.contains(&label) {
                return Err(Denial::Malformed);
            }
            seen.push(label);
            ends |= label == EXP;
            claims.set(label, value)?;
        }
        if ends { Ok(claims) } else { Err(Denial::Expired) }
    }

    fn set(&mut self, label: i64, value: &Value) -> Result<(), Denial> {
        let unclear = Denial::NotUnderstood(label);
        match label {
            ISS => self.issuer = Some(text(value)?),
            SUB => self.subject = Some(text(value)?),
            AUD => self.audience = texts(value)?,
            EXP => self.expires_s = seconds(value)?,
            NBF => self.not_before_s = Some(seconds(value)?),
            IAT => self.issued_s = Some(seconds(value)?),
            CTI => self.id = value.as_bytes().ok_or(Denial::Malformed)?.clone(),
            CATV if number(value) != Some(VERSION) => return Err(unclear),
            // 0: it may be shown again.
            REPLAY if number(value) != Some(0) => return Err(unclear),
            NETWORKS => self.networks = list(value)?.iter().filter_map(tagged).collect::<Vec<_>>(),
            URI => self.places = uri::read(value).ok_or(unclear)?,
            METHODS => self.methods = texts(value)?,
            COUNTRIES => self.countries = texts(value)?,
            CATV | REPLAY => {}
            // Whoever gives out such numbers may mean a restriction.
            _ if label >= 0 && !HARMLESS.contains(&label) => return Err(unclear),
            _ => {}
        }
        // A list of which nothing is left lets nobody in.
        let empty = (label == NETWORKS && self.networks.is_empty())
            || (label == METHODS && self.methods.is_empty())
            || (label == COUNTRIES && self.countries.is_empty());
        if empty { Err(unclear) } else { Ok(()) }
    }

    /// The payload of a token that says this.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut entries: Vec<(Value, Value)> = Vec::new();
        let mut put =
            |label: i64, value: Option<Value>| entries.extend(value.map(|v| (Value::from(label), v)));
        let list = |texts: &[String]| {
            let all = || Value::Array(texts.iter().map(|t| Value::from(t.as_str())).collect());
            (!texts.is_empty()).then(all)
        };
        put(ISS, self.issuer.as_deref().map(Value::from));
        put(SUB, self.subject.as_deref().map(Value::from));
        put(
            AUD,
            match self.audience.as_slice() {
                [one] => Some(Value::from(one.as_str())),
                several => list(several),
            },
        );
        put(EXP, Some(Value::from(self.expires_s)));
        put(NBF, self.not_before_s.map(Value::from));
        put(IAT, self.issued_s.map(Value::from));
        put(CTI, (!self.id.is_empty()).then(|| Value::from(self.id.as_slice())));
        put(CATV, Some(Value::from(1)));
        let networks = || Value::Array(self.networks.iter().map(written).collect());
        put(NETWORKS, (!self.networks.is_empty()).then(networks));
        put(URI, (!self.places.is_empty()).then(|| uri::write(&self.places)));
        put(METHODS, list(&self.methods));
        put(COUNTRIES, list(&self.countries));
        let mut payload = Vec::new();
        let _ = coset::cbor::into_writer(&Value::Map(entries), &mut payload);
        payload
    }

    /// Whether a visit at this time is let in; from whom and for whom tokens must be is the caller's.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, visit: &Visit<'_>, now_s: i64) -> Result<(), Denial> {
        if now_s >= self.expires_s {
            return Err(Denial::Expired);
        }
        if self.not_before_s.is_some_and(|from| now_s.saturating_add(SKEW_S) < from) {
            return Err(Denial::NotYet);
        }
        // It could not be taken back: that goes by when it was made.
        if self.issued_s.is_some_and(|made| made > now_s.saturating_add(CLOCKS_S)) {
            return Err(Denial::NotYet);
        }
        if !uri::fit(&self.places, visit) {
            return Err(Denial::Elsewhere);
        }
        if !self.methods.is_empty() && !self.methods.iter().any(|m| m == visit.method) {
            return Err(Denial::Method);
        }
        let address = visit.address.to_canonical();
        if !self.networks.is_empty() && !self.networks.iter().any(|n| n.contains(&address)) {
            return Err(Denial::Place);
        }
        let here = |country: &String| visit.country.is_some_and(|here| here.eq_ignore_ascii_case(country));
        if !self.countries.is_empty() && !self.countries.iter().any(here) {
            return Err(Denial::Place);
        }
        Ok(())
    }

    /// Whether it is one that nodes show each other.
    #[must_use]
    pub fn is_node(&self) -> bool {
        self.audience.iter().any(|audience| audience == NODE)
    }

    /// Its number, as people write it.
    #[must_use]
    pub fn id_text(&self) -> String {
        hex(&self.id)
    }
}

fn text(value: &Value) -> Result<String, Denial> {
    value.as_text().map(str::to_owned).ok_or(Denial::Malformed)
}

fn list(value: &Value) -> Result<&[Value], Denial> {
    value.as_array().map(Vec::as_slice).ok_or(Denial::Malformed)
}

/// One text, or several.
fn texts(value: &Value) -> Result<Vec<String>, Denial> {
    match value {
        Value::Text(one) => Ok(vec![one.clone()]),
        several => list(several)?.iter().map(text).collect(),
    }
}

fn number(value: &Value) -> Option<i128> {
    value.as_integer().map(i128::from)
}

/// A `NumericDate` (RFC 8392 §2), which may have a fraction.
fn seconds(value: &Value) -> Result<i64, Denial> {
    let whole = number(value).and_then(|n| i64::try_from(n).ok());
    #[expect(clippy::cast_possible_truncation, reason = "bounded before")]
    let rough = value.as_float().filter(|s| s.abs() < 1e15).map(|s| s.floor() as i64);
    whole.or(rough).ok_or(Denial::Malformed)
}

/// An address or a network (RFC 9164). What is none, such as the number of a system, is nobody's place here.
fn tagged(value: &Value) -> Option<IpNet> {
    let (tag, inner) = value.as_tag()?;
    let (length, bytes) = match inner {
        Value::Bytes(bytes) => (None, bytes),
        Value::Array(pair) => {
            let [length, Value::Bytes(bytes)] = pair.as_slice() else { return None };
            (Some(u8::try_from(number(length)?).ok()?), bytes)
        }
        _ => return None,
    };
    let (address, whole) = match tag {
        52 => (IpAddr::from(Ipv4Addr::from(padded::<4>(bytes)?)), 32),
        54 => (IpAddr::from(Ipv6Addr::from(padded::<16>(bytes)?)), 128),
        _ => return None,
    };
    IpNet::new(address, length.unwrap_or(whole)).ok()
}

/// Zeros at the end may be left out of a network (RFC 9164 §4.2).
fn padded<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let mut all = [0; N];
    all.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(all)
}

fn written(network: &IpNet) -> Value {
    let (tag, bytes) = match network.addr() {
        IpAddr::V4(address) => (52, address.octets().to_vec()),
        IpAddr::V6(address) => (54, address.octets().to_vec()),
    };
    let pair = Value::Array(vec![Value::from(network.prefix_len()), Value::Bytes(bytes)]);
    Value::Tag(tag, Box::new(pair))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An address or a network.
///
/// # Errors
/// What to write instead.
pub fn network(text: &str) -> Result<IpNet, String> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    net.map_err(|_| "is neither address nor network, as 192.0.2.7 or 192.0.2.0/24".to_owned())
}

/// What the paths of a stream, or of those whose names begin so, begin with.
#[must_use]
pub fn below(pattern: &str) -> String {
    pattern.strip_suffix('*').map_or_else(|| format!("/{pattern}/"), |beginning| format!("/{beginning}"))
}

/// Bytes that nobody can guess.
///
/// # Errors
/// There is no randomness.
pub fn random(bytes: usize) -> Result<Vec<u8>, String> {
    let mut random = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| "there is no randomness here")?;
    Ok(random)
}
