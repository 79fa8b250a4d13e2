//! Certificates, requests for them, and lists of those that were taken back, as DER and PEM. No store, no clock.
//!
//! Spec: RFC 5280, RFC 2986.

use std::net::IpAddr;

use garde::Validate;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose,
    PublicKeyData, RevokedCertParams, SanType, SerialNumber,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use schemars::JsonSchema;
use serde::Deserialize;
use time::OffsetDateTime;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::private::Private;
use crate::crypto::Fault;

/// How much earlier than now a certificate begins: clocks of others may be late.
const EARLIER_MS: i64 = 300_000;
/// Names in a certificate.
const NAMES_MAX: usize = 100;
/// Until when a list of those that were taken back is good, milliseconds: a week.
const LIST_MS: i64 = 7 * 86_400_000;

/// What a certificate is about.
#[derive(Debug, Clone, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Subject {
    #[garde(length(chars, min = 1, max = 64))]
    pub(super) common_name: String,
    /// Names of hosts and addresses.
    #[serde(default)]
    #[garde(length(max = NAMES_MAX), inner(custom(host)))]
    pub(super) names: Vec<String>,
}

/// From when to when, milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
}

fn host(given: &str, _: &()) -> garde::Result {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let plain = given.strip_prefix("*.").unwrap_or(given);
    match given.parse::<IpAddr>().is_ok() || given.len() <= 253 && plain.split('.').all(label) {
        true => Ok(()),
        false => Err(garde::Error::new("is neither the name of a host nor an address")),
    }
}

fn moment(ms: i64) -> Result<OffsetDateTime, Fault> {
    OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000))
        .map_err(|_| Fault::wrong("no calendar goes that far"))
}

fn failed(error: rcgen::Error) -> Fault {
    match error {
        // What hardware has said of it is lost on the way.
        rcgen::Error::RemoteKeyError => Fault::Away("the key did not sign: is its hardware away?".into()),
        _ => Fault::Failed("writing a certificate"),
    }
}

fn alternatives(names: &[String]) -> Result<Vec<SanType>, Fault> {
    let alternative = |name: &String| match name.parse() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => name.as_str().try_into().map(SanType::DnsName),
    };
    names.iter().map(alternative).collect::<Result<_, rcgen::Error>>().map_err(failed)
}

fn params(subject: &Subject) -> Result<CertificateParams, Fault> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject.common_name.as_str());
    params.subject_alt_names = alternatives(&subject.names)?;
    Ok(params)
}

/// A request, PEM.
pub(super) fn request(private: &Private, subject: &Subject) -> Result<String, Fault> {
    must_sign(private)?;
    params(subject)?.serialize_request(private).and_then(|csr| csr.pem()).map_err(failed)
}

fn must_sign(private: &Private) -> Result<(), Fault> {
    let told = || Fault::wrong("this key wraps: make another one to sign with");
    if private.kind.signs() { Ok(()) } else { Err(told()) }
}

/// The certificate of an authority, signed with its own key, DER. It signs certificates that sign none.
pub(super) fn root(
    private: &Private,
    common_name: &str,
    serial: &[u8],
    span: Span,
) -> Result<Vec<u8>, Fault> {
    must_sign(private)?;
    let mut params = params(&Subject { common_name: common_name.into(), names: Vec::new() })?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    dated(&mut params, serial, span)?;
    params.self_signed(private).map(|made| made.der().to_vec()).map_err(failed)
}

fn dated(params: &mut CertificateParams, serial: &[u8], span: Span) -> Result<(), Fault> {
    params.serial_number = Some(SerialNumber::from_slice(serial));
    params.not_before = moment(span.from_ms - EARLIER_MS)?;
    params.not_after = moment(span.to_ms)?;
    Ok(())
}

/// What somebody asks a certificate for, whose private half they have shown to have.
pub(super) struct Request(CertificateSigningRequestParams);

impl Request {
    /// From PEM.
    ///
    /// # Errors
    /// When it is none, or its signature is not of its key.
    pub(super) fn parse(pem: &str) -> Result<Self, Fault> {
        let told = |why: &dyn std::fmt::Display| Fault::wrong(format!("the request cannot be taken: {why}"));
        let der =
            CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(|error| told(&error))?;
        let params = CertificateSigningRequestParams::from_der(&der).map_err(|error| told(&error))?;
        // The library reads the curve out of the algorithm of the signature, which need not be that of the key.
        let (_, csr) = X509CertificationRequest::from_der(&der).map_err(|error| told(&error))?;
        if csr.certification_request_info.subject_pki.raw != params.public_key.subject_public_key_info() {
            return Err(told(&"sign it with the hash of its curve, SHA-256 for P-256 and SHA-384 for P-384"));
        }
        Ok(Self(params))
    }

    /// Names of hosts and addresses that it asks for.
    pub(super) fn names(&self) -> Vec<String> {
        let name = |name: &SanType| match name {
            SanType::DnsName(name) => Some(name.to_string()),
            SanType::IpAddress(address) => Some(address.to_string()),
            _ => None,
        };
        self.0.params.subject_alt_names.iter().filter_map(name).collect()
    }
}

/// An authority at work.
pub(super) struct Authority<'a> {
    issuer: Issuer<'static, &'a Private>,
}

impl<'a> Authority<'a> {
    pub(super) fn new(certificate: &[u8], private: &'a Private) -> Result<Self, Fault> {
        let issuer = Issuer::from_ca_cert_der(&CertificateDer::from(certificate), private).map_err(failed)?;
        Ok(Self { issuer })
    }

    /// A certificate for a node, DER: of what the request asks for only the key is taken, all else is said by `subject`.
    pub(super) fn issue(
        &self,
        request: &Request,
        subject: &Subject,
        serial: &[u8],
        span: Span,
    ) -> Result<Vec<u8>, Fault> {
        let mut params = params(subject)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        dated(&mut params, serial, span)?;
        params.signed_by(&request.0.public_key, &self.issuer).map(|made| made.der().to_vec()).map_err(failed)
    }

    /// The list of those that were taken back, each with its serial number and when, DER.
    pub(super) fn list(
        &self,
        revoked: &[(Vec<u8>, i64)],
        number: i64,
        now_ms: i64,
    ) -> Result<Vec<u8>, Fault> {
        let entry = |(serial, at_ms): &(Vec<u8>, i64)| {
            Ok(RevokedCertParams {
                serial_number: SerialNumber::from_slice(serial),
                revocation_time: moment(*at_ms)?,
                reason_code: None,
                invalidity_date: None,
            })
        };
        let params = CertificateRevocationListParams {
            this_update: moment(now_ms - EARLIER_MS)?,
            next_update: moment(now_ms + LIST_MS)?,
            crl_number: SerialNumber::from(u64::try_from(number).unwrap_or_default()),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect::<Result<_, Fault>>()?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).map(|list| list.der().to_vec()).map_err(failed)
    }
}

/// A serial number that was written in hexadecimal.
pub(super) fn number(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
