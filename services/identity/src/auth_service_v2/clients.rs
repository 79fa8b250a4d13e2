//! Apps of others: registered by operators, shown a secret once, known by it or, where they can keep none, by nothing.

use aws_lc_rs::constant_time;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use garde::Validate;
use http::{HeaderMap, header};
use nx_chassis::{
    Api, Body, Caller, Created, Ctx, DbError, Json, List, Page, Path, Problem, ShownOnce, Time, Tx, Value,
    args,
};
use nx_contract::identity::OPERATOR;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::form::Refused;
use super::rules::{self, Params, SCOPES};
use super::{CLIENT_REGISTERED, CODE, CREDENTIALS, DEVICE, EXCHANGE, REFRESH};
use crate::token_mgr::{Alg, Signer};
use crate::{Done, hash};

/// Apps that there are at most.
const CLIENTS_MAX: i64 = 1000;
const GRANTS: [&str; 5] = [CODE, REFRESH, CREDENTIALS, DEVICE, EXCHANGE];
/// What the names of apps begin with, so that they are nobody's else.
const PREFIX: &str = "app_";

pub(super) fn routes(api: Api) -> Api {
    api.get("/clients", list)
        .post_once("/clients", add)
        .get("/clients/{id}", read)
        .delete("/clients/{id}", remove)
}

/// What an app is and may.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct About {
    /// Where people may be sent back to: the very same text each time.
    #[garde(length(max = 20), inner(length(max = 2048)))]
    #[serde(default)]
    pub(super) redirect_uris: Vec<String>,
    /// Where they may be sent when they have signed out.
    #[garde(length(max = 20), inner(length(max = 2048)))]
    #[serde(default)]
    pub(super) post_logout_redirect_uris: Vec<String>,
    /// What is told when somebody has signed out (OpenID Connect Back-Channel Logout).
    #[garde(length(max = 2048))]
    #[serde(default)]
    pub(super) backchannel_logout_uri: Option<String>,
    /// What it may ask for: `openid`, `profile`, `offline_access`, `watch`, `publish`, `operate`.
    #[garde(length(max = 6), inner(length(max = 40)))]
    pub(super) scopes: Vec<String>,
    /// How: `authorization_code`, `refresh_token`, `client_credentials`, `urn:ietf:params:oauth:grant-type:device_code`,
    /// `urn:ietf:params:oauth:grant-type:token-exchange`.
    #[garde(length(min = 1, max = 5), inner(length(max = 80)))]
    pub(super) grants: Vec<String>,
    /// How what it reads is signed.
    #[garde(skip)]
    #[serde(default)]
    pub(super) id_token_alg: Alg,
    /// Whether it is one of your own, so that nobody is asked whether they allow it.
    #[garde(skip)]
    #[serde(default)]
    pub(super) trusted: bool,
    /// Whether all its tokens are bound to a key that it holds (RFC 9449 §5.2); any app may have them be.
    #[garde(skip)]
    #[serde(default)]
    pub(super) dpop_bound_access_tokens: bool,
}

/// An app.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct Client {
    pub(super) id: String,
    pub(super) name: String,
    /// Whether it can keep no secret: what runs on a phone, a television or a desktop, or in the page of another site.
    pub(super) public: bool,
    #[serde(flatten)]
    pub(super) about: About,
    pub(super) created_at: Time,
    #[serde(skip)]
    secret: Option<Vec<u8>>,
}

impl nx_chassis::FromRow for Client {
    fn from_row(row: &nx_chassis::Row) -> Result<Self, DbError> {
        let secret: Option<Vec<u8>> = row.get("secret")?;
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            public: secret.is_none(),
            about: row.json("about")?,
            created_at: row.get("at_ms")?,
            secret,
        })
    }
}

impl Client {
    /// Whether it may ask in this way.
    pub(super) fn may(&self, grant: &str) -> Result<(), Refused> {
        if self.about.grants.iter().any(|g| g == grant) {
            return Ok(());
        }
        Err(Refused::new("unauthorized_client", format!("the app is not registered for {grant:.80}")))
    }

    /// The scopes that are asked for, if it may have all of them; none asked for are all that it may have, but for what must be
    /// asked for by name.
    pub(super) fn scope(&self, asked: Option<&str>) -> Result<String, Refused> {
        let all = || {
            let all = self.about.scopes.iter().map(String::as_str);
            all.filter(|scope| !["openid", "offline_access"].contains(scope)).collect::<Vec<_>>().join(" ")
        };
        let asked = asked.map_or_else(all, str::to_owned);
        rules::scope(&asked, &self.about.scopes).map_err(|why| Refused::new("invalid_scope", why))
    }
}

/// A new app.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct NewClient {
    /// What people read who are asked.
    #[garde(length(chars, min = 1, max = 60))]
    name: String,
    #[garde(skip)]
    #[serde(default)]
    public: bool,
    #[garde(dive)]
    #[serde(flatten)]
    about: About,
}

/// An app as its maker gets it.
#[derive(Serialize, JsonSchema)]
struct Made {
    #[serde(flatten)]
    client: Client,
    /// It is not shown again; none for a public app.
    client_secret: Option<String>,
}

async fn list(by: Caller, cx: Ctx, page: Page) -> Result<List<Client>, Problem> {
    by.must_be(OPERATOR)?;
    let sql = "SELECT * FROM client WHERE id > $1 ORDER BY id LIMIT $2";
    let clients = cx.db().all(sql, args![&page.after, page.rows()]).await?;
    Ok(List::of(&page, clients, |client: &Client| &client.id))
}

async fn read(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Client>, Problem> {
    by.must_be(OPERATOR)?;
    find(&cx, &id).await?.map(Json).ok_or_else(unknown)
}

async fn add(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Body(new): Body<NewClient>,
) -> Result<ShownOnce<Created<Made>>, Problem> {
    by.must_be(OPERATOR)?;
    check(&new)?;
    let signer = Signer { alg: new.about.id_token_alg };
    let _: Done = cx.call("token-mgr")?.post("/v1/apps/signer", &cx.new_id(), &signer).await?;
    if tx.one::<i64>("SELECT COUNT(*) AS n FROM client", args![]).await?.unwrap_or_default() >= CLIENTS_MAX {
        return Err(Problem::conflict(
            "clients-max",
            format!("there are {CLIENTS_MAX} apps: remove those that nothing uses"),
        ));
    }
    let client_secret = (!new.public).then(nx_chassis::fresh).transpose()?;
    let secret = client_secret.as_deref().map(hash);
    let (id, created_at) = (format!("{PREFIX}{}", cx.new_id()), Time(cx.now_ms()));
    let client = Client { id, name: new.name, public: new.public, about: new.about, created_at, secret };
    let sql = "INSERT INTO client (id, name, secret, about, at_ms) VALUES ($1, $2, $3, $4, $5)";
    let row = args![&client.id, &client.name, client.secret.clone(), Value::json(&client.about), created_at];
    tx.run(sql, row).await?;
    tx.emit(CLIENT_REGISTERED, &client.id, &json!({"name": client.name})).await?;
    Ok(ShownOnce(Created { location: client.id.clone(), body: Made { client, client_secret } }))
}

/// What an app cannot be.
fn check(new: &NewClient) -> Result<(), Problem> {
    let About { redirect_uris, post_logout_redirect_uris, backchannel_logout_uri, scopes, grants, .. } =
        &new.about;
    for (place, uris) in
        [("redirect_uris", redirect_uris), ("post_logout_redirect_uris", post_logout_redirect_uris)]
    {
        for (nth, uri) in uris.iter().enumerate() {
            rules::redirect_uri(uri).map_err(|why| Problem::invalid(format!("/{place}/{nth}"), why))?;
        }
    }
    let one_of = |place: &str, given: &[String], known: &[&str]| match given
        .iter()
        .position(|g| !known.contains(&&**g))
    {
        Some(nth) => {
            Err(Problem::invalid(format!("/{place}/{nth}"), format!("is none of {}", known.join(", "))))
        }
        None => Ok(()),
    };
    one_of("scopes", scopes, &SCOPES.map(|(name, _)| name))?;
    one_of("grants", grants, &GRANTS)?;
    let has = |grant: &str| grants.iter().any(|g| g == grant);
    if has(CODE) && redirect_uris.is_empty() {
        return Err(Problem::invalid("/redirect_uris", "say where people are sent back to"));
    }
    if new.public && (has(CREDENTIALS) || has(EXCHANGE)) {
        return Err(Problem::invalid(
            "/grants",
            "an app without a secret cannot speak for itself, or be handed tokens",
        ));
    }
    let logout = backchannel_logout_uri.as_deref().unwrap_or("https://none.example/");
    if logout.starts_with("https://") || logout.starts_with("http://") {
        return Ok(());
    }
    Err(Problem::invalid("/backchannel_logout_uri", "begins with https:// or http://"))
}

async fn remove(by: Caller, mut tx: Tx, Path(id): Path<String>) -> Result<Json<Done>, Problem> {
    by.must_be(OPERATOR)?;
    if tx.run("DELETE FROM client WHERE id = $1", args![&id]).await? == 0 {
        return Err(unknown());
    }
    for sql in [
        "DELETE FROM consent WHERE client_id = $1",
        "DELETE FROM pushed WHERE client_id = $1",
        "DELETE FROM code WHERE client_id = $1",
        "DELETE FROM device WHERE client_id = $1",
    ] {
        tx.run(sql, args![&id]).await?;
    }
    super::sessions::end_of_client(&mut tx, &id).await?;
    Ok(Json(Done {}))
}

fn unknown() -> Problem {
    Problem::not_found("there is no such app")
}

pub(super) async fn find(cx: &Ctx, id: &str) -> Result<Option<Client>, DbError> {
    cx.db().one("SELECT * FROM client WHERE id = $1", args![id]).await
}

/// The app that asks, which has shown its secret if it has one (RFC 6749 §2.3).
pub(super) async fn authenticate(cx: &Ctx, headers: &HeaderMap, form: &Params) -> Result<Client, Refused> {
    let basic =
        headers.get(header::AUTHORIZATION).map(|value| basic(value.as_bytes()).ok_or_else(Refused::client));
    let (id, secret) = match basic.transpose()? {
        Some(_) if form.get("client_secret").is_some() => {
            return Err(Refused::request("show the secret once: in the header or in the form"));
        }
        Some((id, _)) if form.get("client_id").is_some_and(|other| other != id) => {
            return Err(Refused::client());
        }
        Some((id, secret)) => (id, Some(secret)),
        None => {
            let secret = form.get("client_secret").map(str::to_owned);
            (form.need("client_id").map_err(Refused::request)?.to_owned(), secret)
        }
    };
    let client = find(cx, &id).await?.ok_or_else(Refused::client)?;
    let shown = secret.filter(|s| !s.is_empty()).map(|secret| hash(&secret));
    let right = match (&client.secret, &shown) {
        (Some(kept), Some(shown)) => constant_time::verify_slices_are_equal(kept, shown).is_ok(),
        (None, None) => true,
        _ => false,
    };
    right.then_some(client).ok_or_else(Refused::client)
}

/// Name and secret from a header; both are written as in a form (RFC 6749 §2.3.1).
fn basic(value: &[u8]) -> Option<(String, String)> {
    let given = value.get(..6).filter(|scheme| scheme.eq_ignore_ascii_case(b"basic ")).and(value.get(6..))?;
    let text = String::from_utf8(BASE64_STANDARD.decode(given.trim_ascii()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let plain = |text: &str| {
        let (name, _) = form_urlencoded::parse(text.as_bytes()).next().unwrap_or_default();
        name.into_owned()
    };
    Some((plain(id), plain(secret)))
}
