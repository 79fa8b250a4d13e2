//! Authorities: who signs certificates for nodes, which, and which of them no more.

use axum::response::IntoResponse;
use garde::Validate;
use http::header;
use nx_chassis::{
    Api, Body, Caller, Created, Ctx, DbError, Describe, FromRow, Json, List, Operation, Page, Path, Problem,
    Row, Time, Tx, args, row,
};
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ceremonies::Action;
use super::keys::Outcome;
use super::private::waiting;
use super::quorum::{Way, to_entrust};
use super::store::{self, Key};
use super::x509::{self, Request, Span, Subject};
use super::{CERTIFICATE_ISSUED, CERTIFICATE_REVOKED, Operator, audit};
use crate::crypto::{Fault, pem};

const DAY_MS: i64 = 86_400_000;
/// Bytes of a serial number (RFC 5280 §4.1.2.2: at most 20).
const SERIAL_BYTES: usize = 16;

pub(super) fn routes(api: Api) -> Api {
    api.get("/authorities", list)
        .post_once("/authorities", create)
        .get("/authorities/{name}", read)
        .get("/authorities/{name}/crl", taken_back)
        .get("/authorities/{name}/certificates", certificates)
        .post_once("/authorities/{name}/certificates", issue)
        .post("/authorities/{name}/certificates/{serial}/revoke", revoke)
}

/// An authority to be made.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAuthority {
    #[garde(custom(super::keys::plain))]
    pub(super) name: String,
    /// What it signs with; it is the key of nothing else.
    #[garde(length(max = 100))]
    pub(super) key: String,
    #[garde(length(chars, min = 1, max = 64))]
    pub(super) common_name: String,
    /// How long its own certificate holds.
    #[garde(range(min = 1, max = 7300))]
    pub(super) days: i64,
}

struct Authority {
    name: String,
    key: String,
    common_name: String,
    certificate: Vec<u8>,
    expires_ms: i64,
    crl: i64,
}
row!(Authority { name, key, common_name, certificate, expires_ms, crl });

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Authority")]
struct About {
    name: String,
    key: String,
    common_name: String,
    /// PEM: what whoever believes in it is given.
    certificate: String,
    expires_at: Time,
}

impl From<Authority> for About {
    fn from(authority: Authority) -> Self {
        Self {
            certificate: pem("CERTIFICATE", &authority.certificate),
            expires_at: Time(authority.expires_ms),
            name: authority.name,
            key: authority.key,
            common_name: authority.common_name,
        }
    }
}

async fn authority(cx: &Ctx, name: &str) -> Result<Authority, Problem> {
    let found = cx.db().one("SELECT * FROM authority WHERE name = $1", args![name]).await?;
    found.ok_or_else(|| Problem::not_found("there is no authority of that name"))
}

async fn list(cx: Ctx, _: Operator, page: Page) -> Result<List<About>, Problem> {
    let sql = "SELECT * FROM authority WHERE name > $1 ORDER BY name LIMIT $2";
    let all: Vec<Authority> = cx.db().all(sql, args![&page.after, page.rows()]).await?;
    Ok(List::of(&page, all.into_iter().map(About::from).collect(), |about: &About| &about.name))
}

async fn read(cx: Ctx, _: Operator, Path(name): Path<String>) -> Result<Json<About>, Problem> {
    Ok(Json(authority(&cx, &name).await?.into()))
}

fn serial() -> Result<[u8; SERIAL_BYTES], Fault> {
    let mut serial = [0; SERIAL_BYTES];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| Fault::Failed("randomness"))?;
    // Positive, and never shorter.
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

async fn create(
    Operator(by): Operator,
    cx: Ctx,
    mut tx: Tx,
    Body(new): Body<NewAuthority>,
) -> Result<Json<Outcome>, Problem> {
    let key = store::hold(&mut tx, &new.key).await?;
    match to_entrust(key.approvals) {
        Way::Now => made(&cx, &mut tx, &by, &key, &new).await?,
        _ => return Ok(Json(Outcome::open(&mut tx, &by, &key, Action::Authority(new)).await?)),
    }
    Ok(Json(Outcome::done()))
}

/// Makes one whose key is held.
pub(super) async fn made(
    cx: &Ctx,
    tx: &mut Tx,
    by: &Caller,
    key: &Key,
    new: &NewAuthority,
) -> Result<(), Problem> {
    let (private, common_name) = (key.private(cx, by)?, new.common_name.clone());
    let span = Span { from_ms: cx.now_ms(), to_ms: cx.now_ms() + new.days * DAY_MS };
    let serial = serial()?;
    let certificate = waiting(move || x509::root(&private, &common_name, &serial, span)).await?;
    let sql = "INSERT INTO authority (name, key, common_name, certificate, expires_ms, crl, at_ms) \
               VALUES ($1, $2, $3, $4, $5, 0, $6) ON CONFLICT DO NOTHING";
    let row = args![&new.name, &key.name, &new.common_name, certificate, span.to_ms, span.from_ms];
    if tx.run(sql, row).await? == 0 {
        let text = "there is an authority of that name, or one with that key";
        return Err(Problem::conflict("taken", text));
    }
    store::make_root(tx, &key.name).await?;
    Ok(audit::note(tx, by, "became an authority's", &key.name, &new.name).await?)
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewCertificate {
    /// A request in PEM (RFC 2986), signed with the key that it is about.
    #[garde(length(max = 32_000))]
    csr: String,
    /// By default the first of the names.
    #[garde(inner(length(chars, min = 1, max = 64)))]
    common_name: Option<String>,
    /// Names of hosts and addresses; by default those that the request asks for.
    #[serde(default)]
    #[garde(length(max = 100), inner(length(max = 253)))]
    names: Vec<String>,
    #[serde(default = "ninety")]
    #[garde(range(min = 1, max = 825))]
    days: i64,
}

fn ninety() -> i64 {
    90
}

#[derive(Debug, Serialize, JsonSchema)]
struct Certificate {
    /// Hexadecimal.
    serial: String,
    common_name: String,
    names: Vec<String>,
    /// PEM.
    certificate: String,
    issued_at: Time,
    expires_at: Time,
    revoked_at: Option<Time>,
}

impl FromRow for Certificate {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        let der: Vec<u8> = row.get("certificate")?;
        Ok(Self {
            serial: row.get("serial")?,
            common_name: row.get("common_name")?,
            names: row.json("names")?,
            certificate: pem("CERTIFICATE", &der),
            issued_at: row.get("at_ms")?,
            expires_at: row.get("expires_ms")?,
            revoked_at: row.get("revoked_ms")?,
        })
    }
}

async fn certificates(
    cx: Ctx,
    _: Operator,
    Path(name): Path<String>,
    page: Page,
) -> Result<List<Certificate>, Problem> {
    let name = authority(&cx, &name).await?.name;
    let sql = "SELECT * FROM certificate WHERE authority = $1 AND serial > $2 ORDER BY serial LIMIT $3";
    let all = cx.db().all(sql, args![name, &page.after, page.rows()]).await?;
    Ok(List::of(&page, all, |certificate: &Certificate| &certificate.serial))
}

/// Never holds longer than that of the authority.
async fn issue(
    Operator(by): Operator,
    cx: Ctx,
    mut tx: Tx,
    Path(name): Path<String>,
    Body(new): Body<NewCertificate>,
) -> Result<Created<Certificate>, Problem> {
    let authority = authority(&cx, &name).await?;
    if authority.expires_ms <= cx.now_ms() {
        return Err(Problem::conflict(
            "expired",
            "the authority's own certificate is over: make another authority",
        ));
    }
    let private = store::key(&cx, &authority.key).await?.private(&cx, &by)?;
    let request = Request::parse(&new.csr)?;
    let names = if new.names.is_empty() { request.names() } else { new.names };
    let told = || Problem::invalid("/names", "say for which host or address: the request asks for none");
    let first = names.first().ok_or_else(told)?;
    let common_name = new.common_name.unwrap_or_else(|| first.chars().take(64).collect());
    let subject = Subject { common_name, names };
    subject.validate().map_err(|report| Problem::invalid("/names", report.to_string()))?;
    let span =
        Span { from_ms: cx.now_ms(), to_ms: authority.expires_ms.min(cx.now_ms() + new.days * DAY_MS) };
    let number = serial()?;
    let der = {
        let (subject, root) = (subject.clone(), authority.certificate);
        waiting(move || x509::Authority::new(&root, &private)?.issue(&request, &subject, &number, span))
            .await?
    };
    let serial = nx_chassis::hex(&number);
    let sql = "INSERT INTO certificate (serial, authority, common_name, names, certificate, at_ms, expires_ms) \
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let listed = serde_json::to_string(&subject.names).map_err(Problem::internal)?;
    let row = args![&serial, &name, &subject.common_name, listed, der.clone(), span.from_ms, span.to_ms];
    tx.run(sql, row).await?;
    audit::note(&mut tx, &by, "issued a certificate", &authority.key, &serial).await?;
    let data = json!({"authority": name, "names": subject.names, "by": by.subject});
    tx.emit(CERTIFICATE_ISSUED, &serial, &data).await?;
    let body = Certificate {
        serial: serial.clone(),
        common_name: subject.common_name,
        names: subject.names,
        certificate: pem("CERTIFICATE", &der),
        issued_at: Time(span.from_ms),
        expires_at: Time(span.to_ms),
        revoked_at: None,
    };
    Ok(Created { location: serial, body })
}

/// Takes a certificate back, once; the list that says so is new at once.
async fn revoke(
    Operator(by): Operator,
    cx: Ctx,
    mut tx: Tx,
    Path((name, serial)): Path<(String, String)>,
) -> Result<http::StatusCode, Problem> {
    let authority = authority(&cx, &name).await?;
    let sql = "SELECT * FROM certificate WHERE authority = $1 AND serial = $2";
    let found: Option<Certificate> = tx.one(sql, args![&name, &serial]).await?;
    found.ok_or_else(|| Problem::not_found("the authority has signed no such certificate"))?;
    let sql =
        "UPDATE certificate SET revoked_ms = $3 WHERE authority = $1 AND serial = $2 AND revoked_ms IS NULL";
    let now_ms = tx.now_ms();
    if tx.run(sql, args![&name, &serial, now_ms]).await? == 0 {
        return Ok(http::StatusCode::NO_CONTENT);
    }
    tx.run("UPDATE authority SET crl = crl + 1 WHERE name = $1", args![&name]).await?;
    audit::note(&mut tx, &by, "took a certificate back", &authority.key, &serial).await?;
    tx.emit(CERTIFICATE_REVOKED, &serial, &json!({"authority": name, "by": by.subject})).await?;
    Ok(http::StatusCode::NO_CONTENT)
}

struct Revoked {
    serial: String,
    revoked_ms: i64,
}
row!(Revoked { serial, revoked_ms });

/// The list of certificates that were taken back and would still hold (RFC 5280 §5), DER.
async fn taken_back(cx: Ctx, Operator(by): Operator, Path(name): Path<String>) -> Result<Crl, Problem> {
    let Authority { key, certificate, crl, .. } = authority(&cx, &name).await?;
    let private = store::key(&cx, &key).await?.private(&cx, &by)?;
    let sql = "SELECT serial, revoked_ms FROM certificate WHERE authority = $1 AND revoked_ms IS NOT NULL AND expires_ms > $2 \
               ORDER BY revoked_ms, serial";
    let now_ms = cx.now_ms();
    let revoked: Vec<Revoked> = cx.db().all(sql, args![name, now_ms - DAY_MS]).await?;
    let serials = revoked.iter().map(|row| (x509::number(&row.serial), row.revoked_ms)).collect::<Vec<_>>();
    let list =
        waiting(move || x509::Authority::new(&certificate, &private)?.list(&serials, crl, now_ms)).await?;
    Ok(Crl(list))
}

/// A list, as it goes over the wire.
struct Crl(Vec<u8>);

const CRL: &str = "application/pkix-crl";

impl IntoResponse for Crl {
    fn into_response(self) -> axum::response::Response {
        ([(header::CONTENT_TYPE, CRL)], self.0).into_response()
    }
}

impl Describe for Crl {
    fn describe(operation: &mut Operation, _: &mut SchemaGenerator) {
        operation.answers("200", Some((CRL, json!({"type": "string", "format": "binary"}))));
    }
}
