//! Keys: made, read, given custodians, destroyed.

use garde::Validate;
use nx_chassis::{Api, Body, Caller, Created, Ctx, Job, Json, List, NewJob, Page, Path, Problem, Time, Tx};
use nx_contract::identity::OPERATOR;
use rcgen::PublicKeyData;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ceremonies::{self, Action};
use super::private::{KINDS, Private, algorithm, hardware, waiting};
use super::quorum::{Quorum, Way, to_destroy, to_entrust};
use super::store::{self, Key};
use super::{ERASE, KEY_CREATED, KEY_DESTROYED, KEY_ENTRUSTED, Operator, audit};
use crate::crypto::{Fault, Kind, pem};

/// How long custodians have been before they end a key, milliseconds: a day.
const SETTLED_MS: i64 = 86_400_000;
/// How long the hardware is left alone that did not delete a key, milliseconds.
const ERASE_AGAIN_MS: i64 = 3_600_000;

pub(super) fn routes(api: Api) -> Api {
    api.get("/keys", list)
        .post_once("/keys", create)
        .get("/keys/{name}", read)
        .post("/keys/{name}/destroy", destroy)
        .put("/keys/{name}/custodians", entrust)
}

/// What a key or an authority may be called.
pub(super) fn plain(given: &str, _: &()) -> garde::Result {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match (1..=100).contains(&given.len()) && given.chars().all(fits) && !given.starts_with('.') {
        true => Ok(()),
        false => {
            Err(garde::Error::new("takes 1 to 100 letters, digits and . _ -, and does not begin with a dot"))
        }
    }
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewKey {
    #[garde(custom(plain))]
    name: String,
    /// `ecdsa-p256`, `ecdsa-p384` or `ed25519` to sign with, `aes256-gcm96` to wrap with.
    #[serde(rename = "type")]
    #[garde(length(max = 40))]
    kind: String,
}

/// A key, as operators see it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PrivateKey")]
struct About {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    /// `hardware`, or the `store` of the service.
    place: &'static str,
    /// The id of its objects in the hardware (`CKA_ID`).
    object_id: String,
    /// PEM; none of a key that wraps.
    public_key: Option<String>,
    /// Whether other secrets or certificates rest on it.
    root: bool,
    custodians: Vec<String>,
    /// How many of them decide; 0 when it has none.
    approvals: i64,
    created_at: Time,
    destroyed_at: Option<Time>,
}

/// The public half as X.509 has it.
struct Public<'a>(&'a Key);

impl PublicKeyData for Public<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.0.public
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        algorithm(self.0.kind)
    }
}

impl About {
    fn new(key: Key, custodians: Vec<String>) -> Self {
        let public_key = key.kind.signs().then(|| pem("PUBLIC KEY", &Public(&key).subject_public_key_info()));
        Self {
            kind: key.kind.name(),
            place: if key.in_hardware { "hardware" } else { "store" },
            object_id: nx_chassis::hex(key.id.as_bytes()),
            public_key,
            root: key.root,
            custodians,
            approvals: key.approvals,
            created_at: Time(key.at_ms),
            destroyed_at: key.destroyed_ms.map(Time),
            name: key.name,
        }
    }
}

async fn about(cx: &Ctx, key: Key) -> Result<About, Problem> {
    let custodians = store::custodians(cx, &key.name).await?;
    Ok(About::new(key, custodians))
}

async fn list(cx: Ctx, _: Operator, page: Page) -> Result<List<About>, Problem> {
    let mut all = Vec::new();
    for key in store::keys(&cx, &page).await? {
        all.push(about(&cx, key).await?);
    }
    Ok(List::of(&page, all, |key: &About| &key.name))
}

async fn read(cx: Ctx, _: Operator, Path(name): Path<String>) -> Result<Json<About>, Problem> {
    Ok(Json(about(&cx, store::key(&cx, &name).await?).await?))
}

/// One that is made and then not kept since the store fails stays in the hardware, under an id that nobody knows.
async fn create(
    Operator(by): Operator,
    cx: Ctx,
    mut tx: Tx,
    Body(new): Body<NewKey>,
) -> Result<Created<About>, Problem> {
    let kind = Kind::parse(&new.kind).ok().filter(|kind| KINDS.contains(kind));
    let kinds = || KINDS.map(Kind::name).join(", ");
    let kind = kind.ok_or_else(|| Fault::NotBuilt(format!("keys here are of type {}", kinds())))?;
    let taken = || Problem::conflict("taken", "there is a key of that name, or was, or there are 10000");
    if store::key(&cx, &new.name).await.is_ok() {
        return Err(taken());
    }
    if hardware().is_none() && store::has_hardware_keys(&cx).await? {
        return Err(no_hardware());
    }
    let (id, name) = (cx.new_id(), new.name.clone());
    let private = {
        let id = id.clone();
        waiting(move || Private::generate(kind, &id, &name)).await?
    };
    let key = Key::new(&cx, &by, &new.name, &id, &private)?;
    if !store::add(&mut tx, &key).await? {
        if let Some(hsm) = hardware() {
            waiting(move || hsm.destroy(&id)).await?;
        }
        return Err(taken());
    }
    audit::note(&mut tx, &by, "created", &key.name, kind.name()).await?;
    tx.emit(KEY_CREATED, &key.name, &json!({"type": kind.name(), "by": by.subject})).await?;
    Ok(Created { location: key.name.clone(), body: About::new(key, Vec::new()) })
}

async fn destroy(
    Operator(by): Operator,
    mut tx: Tx,
    Path(name): Path<String>,
) -> Result<Json<Outcome>, Problem> {
    let key = store::hold(&mut tx, &name).await?;
    key.must_be()?;
    if key.entrusted_ms.is_some_and(|at_ms| at_ms + SETTLED_MS > tx.now_ms()) {
        let text =
            "the key has had these custodians for less than a day: whoever was before shall hear of it first";
        return Err(Problem::conflict("entrusted-lately", text));
    }
    match to_destroy(key.root, key.approvals) {
        Way::Now => destroyed(&mut tx, &by, &key).await?,
        Way::Ceremony => return Ok(Json(Outcome::open(&mut tx, &by, &key, Action::Destroy).await?)),
        Way::Never => {
            let text =
                "other secrets rest on this key, and nobody destroys it alone: give it custodians first";
            return Err(Problem::conflict("no-custodians", text));
        }
    }
    Ok(Json(Outcome::done()))
}

/// Leaves nothing of a key here, and has the hardware delete it.
pub(super) async fn destroyed(tx: &mut Tx, by: &Caller, key: &Key) -> Result<(), Problem> {
    if key.destroyed_ms.is_some() {
        return Ok(());
    }
    store::destroy(tx, &key.name).await?;
    if key.in_hardware {
        tx.enqueue(NewJob::new(ERASE, &key.id)).await?;
    }
    audit::note(tx, by, "destroyed", &key.name, "").await?;
    tx.emit(KEY_DESTROYED, &key.name, &json!({"by": by.subject})).await.map(drop)
}

fn no_hardware() -> Problem {
    let text =
        "keys are in hardware that this process does not have: set gateway.keys.pkcs11, and start it again";
    Problem::unavailable("hardware", text, 30)
}

/// Deletes what is left of a destroyed key in the hardware; as long as that is away, again every hour.
pub(super) async fn erase(cx: Ctx, job: Job) -> Result<(), Problem> {
    let id: String = job.body()?;
    let erased = match hardware() {
        None => Err(no_hardware()),
        Some(hsm) => {
            let id = id.clone();
            waiting(move || hsm.destroy(&id)).await
        }
    };
    let Err(problem) = erased else { return Ok(()) };
    tracing::warn!(%problem, object = id, "a destroyed key is in the hardware yet");
    let mut tx = cx.begin();
    tx.enqueue(NewJob::new(ERASE, &id).due(cx.now_ms() + ERASE_AGAIN_MS)).await?;
    Ok(tx.commit().await?)
}

/// Says who watches over a key. The first time one person does, who is signed in; later their predecessors decide.
async fn entrust(
    Operator(by): Operator,
    cx: Ctx,
    mut tx: Tx,
    Path(name): Path<String>,
    Body(quorum): Body<Quorum>,
) -> Result<Json<Outcome>, Problem> {
    quorum.check()?;
    themselves(&by)?;
    for (nth, person) in quorum.people.iter().enumerate() {
        if !is_operator(&cx, person).await? {
            return Err(Problem::invalid(format!("/people/{nth}"), "is the id of no operator"));
        }
    }
    let key = store::hold(&mut tx, &name).await?;
    key.must_be()?;
    match to_entrust(key.approvals) {
        Way::Now => entrusted(&mut tx, &by, &key, &quorum).await?,
        _ => return Ok(Json(Outcome::open(&mut tx, &by, &key, Action::Custodians(quorum)).await?)),
    }
    Ok(Json(Outcome::done()))
}

/// Refuses keys, services and machines.
///
/// # Errors
/// 403.
pub(super) fn themselves(by: &Caller) -> Result<(), Problem> {
    match by.session.is_some() && by.is_person() {
        true => Ok(()),
        false => Err(Problem::forbidden("people do that themselves: sign in")),
    }
}

/// What user-auth says of somebody.
#[derive(Deserialize)]
struct Somebody {
    roles: Vec<String>,
    disabled: bool,
}

/// Whether somebody is an operator now, whatever they bear says.
pub(super) async fn is_operator(cx: &Ctx, person: &str) -> Result<bool, Problem> {
    // It goes into an address.
    if !person.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Ok(false);
    }
    let found: Result<Somebody, Problem> = cx.call("user-auth")?.get(&format!("/v1/users/{person}")).await;
    match found {
        Ok(found) => Ok(!found.disabled && found.roles.iter().any(|role| role == OPERATOR)),
        Err(problem) if problem.status.is_client_error() => Ok(false),
        Err(problem) => Err(problem),
    }
}

pub(super) async fn entrusted(tx: &mut Tx, by: &Caller, key: &Key, quorum: &Quorum) -> Result<(), Problem> {
    store::entrust(tx, &key.name, quorum).await?;
    let people: Vec<&str> = quorum.people.iter().map(String::as_str).collect();
    audit::note(tx, by, "entrusted", &key.name, &format!("{} of {}", quorum.approvals, people.join(" ")))
        .await?;
    let data = json!({"people": people, "approvals": quorum.approvals, "by": by.subject});
    tx.emit(KEY_ENTRUSTED, &key.name, &data).await.map(drop)
}

/// What became of something that may take several.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Outcome {
    /// Whether it is done. If not, custodians have to approve it.
    done: bool,
    /// The ceremony in which they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    ceremony: Option<String>,
}

impl Outcome {
    pub(super) fn done() -> Self {
        Self { done: true, ceremony: None }
    }

    pub(super) async fn open(tx: &mut Tx, by: &Caller, key: &Key, action: Action) -> Result<Self, Problem> {
        let ceremony = ceremonies::open(tx, by, key, &action).await?;
        Ok(Self { done: false, ceremony: Some(ceremony) })
    }
}
