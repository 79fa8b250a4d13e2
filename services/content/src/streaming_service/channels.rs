//! Channels: whose they are, and who sees them.

use std::collections::{BTreeSet, HashMap};

use garde::Validate;
use http::HeaderMap;
use nx_chassis::{
    Api, Body, Caller, Created, Ctx, IfMatch, Json, List, Page, Path, Problem, Tagged, Time, Tx,
};
use nx_contract::identity::{CREATOR, OPERATOR, OrgRole};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::core::{self, Standing};
use super::rules::{self, Right, Tie};
use super::{CHANNEL_CHANGED, CHANNEL_CREATED, CHANNEL_DELETED, broadcasts, keys, policy, store, targets};
use crate::Done;

/// Channels of one person or organisation at most: names of those that are deleted are nobody's again.
const CHANNELS_MAX: i64 = 50;

pub(super) fn routes(api: Api) -> Api {
    api.get("/channels", list)
        .post_once("/channels", add)
        .get("/channels/{id}", read)
        .patch("/channels/{id}", change)
        .delete("/channels/{id}", remove)
        .post("/channels/{id}/transfer", transfer)
        .get("/channels/{id}/live", live)
}

/// Whose a channel is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "ChannelOwner")]
pub(super) enum Owner {
    #[serde(rename = "owner_id")]
    Person(String),
    #[serde(rename = "org_id")]
    Org(String),
}

impl Owner {
    /// As it is kept: the person, or nobody, and the organisation.
    pub(super) fn columns(&self) -> (&str, Option<String>) {
        match self {
            Self::Person(id) => (id, None),
            Self::Org(id) => ("", Some(id.clone())),
        }
    }

    fn org(&self) -> Option<&str> {
        match self {
            Self::Person(_) => None,
            Self::Org(id) => Some(id),
        }
    }
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct Channel {
    pub(super) id: String,
    #[serde(flatten)]
    pub(super) owner: Owner,
    /// Its name in addresses, for ever.
    pub(super) handle: String,
    pub(super) title: String,
    /// Whether only members watch it, for ever.
    pub(super) members_only: bool,
    /// `APP/STREAM` in the core and on edges.
    pub(super) stream: String,
    pub(super) created_at: Time,
    pub(super) version: i64,
    /// From where members watch; anywhere, when none is named.
    #[serde(skip)]
    pub(super) networks: Vec<String>,
    /// How long a token of theirs holds, seconds.
    #[serde(skip)]
    pub(super) token_s: u32,
}

impl nx_chassis::FromRow for Channel {
    fn from_row(row: &nx_chassis::Row) -> Result<Self, nx_chassis::DbError> {
        let (handle, members_only): (String, bool) = (row.get("handle")?, row.get("members_only")?);
        Ok(Self {
            stream: rules::stream(&handle, members_only),
            id: row.get("id")?,
            owner: match row.get("org_id")? {
                Some(org) => Owner::Org(org),
                None => Owner::Person(row.get("owner_id")?),
            },
            handle,
            title: row.get("title")?,
            members_only,
            created_at: row.get("at_ms")?,
            version: row.get("version")?,
            networks: row.json("networks")?,
            token_s: u32::try_from(row.get::<i64>("token_s")?).unwrap_or(policy::TOKEN_S),
        })
    }
}

/// The organisation that a channel belongs to.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "ChannelOrg")]
pub(super) struct Of {
    pub(super) id: String,
    handle: String,
    name: String,
}
nx_chassis::row!(Of { id, handle, name });

/// A channel as somebody sees it.
#[derive(Debug, Serialize, JsonSchema)]
struct Seen {
    #[serde(flatten)]
    channel: Channel,
    /// What who asks may do with it.
    right: Right,
    /// Whether that is more than to see it.
    mine: bool,
    /// Whose it is, for who is in the organisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<Of>,
    /// Whether somebody publishes it; absent while the core does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<bool>,
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewChannel {
    /// 3 to 30 of `a-z 0-9 -`.
    #[garde(length(max = 100))]
    handle: String,
    /// What people read; by default the handle.
    #[garde(length(chars, max = 100))]
    #[serde(default)]
    title: String,
    /// Whether only members watch it.
    #[garde(skip)]
    #[serde(default)]
    members_only: bool,
    /// The organisation that it belongs to; by default it is one's own.
    #[garde(length(min = 1, max = 36))]
    #[serde(default)]
    org_id: Option<String>,
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Transfer {
    /// The organisation that gets it; without one, who asks does.
    #[garde(length(min = 1, max = 36))]
    #[serde(default)]
    org_id: Option<String>,
}

/// Who gets a channel.
fn owner(by: &Caller, org: Option<String>) -> Owner {
    org.map_or_else(|| Owner::Person(by.subject.clone()), Owner::Org)
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Change {
    #[garde(length(chars, min = 1, max = 100))]
    title: String,
}

/// Open channels, those of which who asks is a member, and their own; operators see all.
async fn list(by: Caller, cx: Ctx, page: Page) -> Result<List<Seen>, Problem> {
    let channels = store::seen(&cx, &by.subject, by.is_operator(), &page).await?;
    let on = core::on(&cx).await.ok();
    let roles = store::roles(&cx, &by.subject).await?;
    let known = |org: &&str| by.is_operator() || roles.contains_key(*org);
    let orgs: BTreeSet<_> = channels.iter().filter_map(|channel| channel.owner.org()).filter(known).collect();
    let names = store::org_names(&cx, orgs).await?;
    let seen = |channel: Channel| {
        // What is listed may be watched.
        let tie = match &channel.owner {
            Owner::Person(id) if *id == by.subject => Tie::Own,
            Owner::Org(org) => roles.get(org).map_or(Tie::Viewer, |role| Tie::Org(*role)),
            Owner::Person(_) => Tie::Viewer,
        };
        let right = rules::right(tie, &by, false).unwrap_or(Right::Watch);
        let mine = right > Right::Watch;
        Seen {
            org: channel.owner.org().filter(|_| mine).and_then(|org| names.get(org).cloned()),
            live: on.as_ref().map(|on| on.contains(&channel.stream)),
            right,
            mine,
            channel,
        }
    };
    let all = channels.into_iter().map(seen).collect();
    Ok(List::of(&page, all, |seen: &Seen| &seen.channel.id))
}

async fn add(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Body(new): Body<NewChannel>,
) -> Result<Created<Channel>, Problem> {
    super::may_create(&mut tx, &by).await?;
    let handle = rules::handle(&new.handle).map_err(|e| Problem::invalid("/handle", e))?;
    let owner = owner(&by, new.org_id);
    if let Owner::Org(org) = &owner {
        in_org(&mut tx, &by, org, OrgRole::Manager).await?;
    }
    room(&mut tx, &by, &owner).await?;
    let title = Some(new.title.trim()).filter(|t| !t.is_empty()).unwrap_or(&handle).to_owned();
    let channel = Channel {
        id: cx.new_id(),
        owner,
        stream: rules::stream(&handle, new.members_only),
        handle,
        title,
        members_only: new.members_only,
        created_at: Time(cx.now_ms()),
        version: 1,
        networks: Vec::new(),
        token_s: policy::TOKEN_S,
    };
    store::add(&mut tx, &channel).await?;
    tx.emit(CHANNEL_CREATED, &channel.id, &channel).await?;
    Ok(Created { location: channel.id.clone(), body: channel })
}

async fn read(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Tagged<Channel>, Problem> {
    let channel = may(&by, &cx, &id, Right::Watch).await?;
    Ok(Tagged { version: channel.version, body: channel })
}

async fn change(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path(id): Path<String>,
    IfMatch(version): IfMatch,
    Body(change): Body<Change>,
) -> Result<Tagged<Channel>, Problem> {
    let channel = may(&by, &cx, &id, Right::Manage).await?;
    let channel = store::rename(&mut tx, &channel.id, version, change.title.trim()).await?;
    tx.emit(CHANNEL_CHANGED, &channel.id, &channel).await?;
    Ok(Tagged { version: channel.version, body: channel })
}

async fn remove(by: Caller, cx: Ctx, mut tx: Tx, Path(id): Path<String>) -> Result<Json<Done>, Problem> {
    may(&by, &cx, &id, Right::Manage).await?;
    // Who may make nothing any more may yet delete what is theirs.
    if store::person(&mut tx, &by.subject).await?.shut {
        return Err(unknown());
    }
    let channel = held(&mut tx, &by, &id, Right::Manage).await?;
    delete(&mut tx, &channel).await?;
    Ok(Json(Done {}))
}

/// Ends a channel with its keys, members, viewers, broadcasts and targets. Its name is nobody's again: what was recorded under it stays.
pub(super) async fn delete(tx: &mut Tx, channel: &Channel) -> Result<(), Problem> {
    store::delete(tx, &channel.id).await?;
    store::end_all(tx, &channel.id, "the channel was deleted").await?;
    broadcasts::delete_all(tx, &channel.id).await?;
    tx.emit(CHANNEL_DELETED, &channel.id, &json!({"stream": channel.stream})).await?;
    super::tell(tx).await
}

/// Where it is published and how that goes, for who publishes it.
async fn live(
    by: Caller,
    cx: Ctx,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Standing>, Problem> {
    let channel = may(&by, &cx, &id, Right::Publish).await?;
    core::standing(&cx, &channel.stream, &headers).await.map(Json)
}

/// A channel that this caller has a right to. Of those that they may not even see they learn nothing.
pub(super) async fn may(by: &Caller, cx: &Ctx, id: &str, wanted: Right) -> Result<Channel, Problem> {
    let channel = store::find(cx, id).await?.ok_or_else(unknown)?;
    let tie = store::tie(cx, &channel, &by.subject).await?;
    allow(by, channel, tie, wanted)
}

/// The same for who makes something on it: nobody else decides about them or about the channel to the end of the transaction.
pub(super) async fn hold(tx: &mut Tx, by: &Caller, id: &str, wanted: Right) -> Result<Channel, Problem> {
    super::may_create(tx, by).await?;
    held(tx, by, id, wanted).await
}

/// The same behind the turn at who asks.
async fn held(tx: &mut Tx, by: &Caller, id: &str, wanted: Right) -> Result<Channel, Problem> {
    let channel = store::hold(tx, id).await?;
    let tie = store::tie_in(tx, &channel, &by.subject).await?;
    allow(by, channel, tie, wanted)
}

fn allow(by: &Caller, channel: Channel, tie: Tie, wanted: Right) -> Result<Channel, Problem> {
    match rules::right(tie, by, channel.members_only) {
        Some(right) if right >= wanted => Ok(channel),
        Some(Right::Watch) => Err(Problem::forbidden("this channel is somebody else's")),
        Some(_) => Err(Problem::forbidden("what you are in its organisation does not allow that")),
        None => Err(unknown()),
    }
}

fn unknown() -> Problem {
    Problem::not_found("there is no such channel, or it is not for you")
}

/// Lets only those give an organisation a channel, or take it, who are at least this there; it does not end meanwhile.
async fn in_org(tx: &mut Tx, by: &Caller, org: &str, least: OrgRole) -> Result<(), Problem> {
    let none = || Problem::not_found("there is no such organisation, or you are not in it");
    if by.scope.is_some() && !by.is_operator() {
        return Err(Problem::forbidden("an app that speaks for you decides nothing about an organisation"));
    }
    // Others keep nobody waiting.
    if !by.is_operator() && store::org_role(tx, org, &by.subject).await?.is_none() {
        return Err(none());
    }
    store::hold_org(tx, org).await?;
    match store::org_role(tx, org, &by.subject).await? {
        _ if by.is_operator() => Ok(()),
        Some(role) if role >= least => Ok(()),
        Some(_) => Err(Problem::forbidden("what you are in the organisation does not allow that")),
        None => Err(none()),
    }
}

/// Whether somebody has room for one more.
async fn room(tx: &mut Tx, by: &Caller, owner: &Owner) -> Result<(), Problem> {
    let (count, whose) = match owner {
        Owner::Person(id) => (store::count(tx, id).await?, "you have"),
        Owner::Org(id) => (store::count_in_org(tx, id).await?, "the organisation has"),
    };
    if by.is_operator() || count < CHANNELS_MAX {
        return Ok(());
    }
    let text = format!("{whose} made {CHANNELS_MAX} channels, with those that are deleted: ask an operator");
    Err(Problem::conflict("channels-max", text))
}

/// What user-auth says that somebody may.
#[derive(Deserialize)]
struct Permissions {
    roles: Vec<String>,
    orgs: Vec<Belongs>,
}

#[derive(Deserialize)]
struct Belongs {
    id: String,
    role: OrgRole,
}

/// Who asks with the roles that they have now, and what they are in organisations: a channel that is given away by what a token
/// or a fact of a moment ago says does not come back. Who is no person has roles that nobody takes.
async fn as_of_now(by: Caller, cx: &Ctx) -> Result<(Caller, HashMap<String, OrgRole>), Problem> {
    if !by.is_person() {
        return Ok((by, HashMap::new()));
    }
    if by.session.is_none() {
        return Err(Problem::forbidden("sign in for that: a key will not do"));
    }
    let path = format!("/v1/users/{}/permissions", by.subject);
    let Permissions { roles, orgs } = cx.call("user-auth")?.get(&path).await?;
    // What they have let an app do with less stays less.
    let roles: Vec<_> = roles.into_iter().filter(|role| by.roles.contains(role)).collect();
    if !roles.iter().any(|role| [OPERATOR, CREATOR].contains(&role.as_str())) {
        return Err(Problem::forbidden("you may make no channels any more: ask an operator"));
    }
    let orgs = orgs.into_iter().map(|org| (org.id, org.role)).collect();
    Ok((Caller { roles, ..by }, orgs))
}

/// Gives a channel to an organisation that one manages, or takes one to oneself that one's organisation owns. Keys and targets of who
/// may nothing there any more end; whoever watches comes back with another token, if they may.
async fn transfer(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path(id): Path<String>,
    IfMatch(version): IfMatch,
    Body(wish): Body<Transfer>,
) -> Result<Tagged<Channel>, Problem> {
    let was = may(&by, &cx, &id, Right::Own).await?.owner;
    let (by, roles) = as_of_now(by, &cx).await?;
    let now = owner(&by, wish.org_id);
    super::may_create(&mut tx, &by).await?;
    let from = was.org().map(|org| (org, OrgRole::Owner));
    let into = now.org().map(|org| (org, OrgRole::Manager));
    let mut orgs: Vec<_> = from.into_iter().chain(into).collect();
    orgs.sort_unstable();
    for (org, least) in orgs {
        in_org(&mut tx, &by, org, least).await?;
        if !by.is_operator() && roles.get(org).is_none_or(|role| *role < least) {
            return Err(Problem::forbidden("what you are in the organisation now does not allow that"));
        }
    }
    let channel = hold(&mut tx, &by, &id, Right::Own).await?;
    if channel.owner != was {
        return Err(Problem::stale());
    }
    if was == now {
        return Ok(Tagged { version: channel.version, body: channel });
    }
    room(&mut tx, &by, &now).await?;
    let channel = store::give_channel(&mut tx, &id, version, &now).await?;
    // Of operators the one who asks is known here; others make a key again.
    let spared = if by.is_operator() { &by.subject } else { "" };
    keys::delete_strangers(&mut tx, &channel, spared).await?;
    targets::delete_strangers(&mut tx, &channel, spared).await?;
    store::end_all(&mut tx, &id, "the channel has another owner").await?;
    tx.emit(CHANNEL_CHANGED, &id, &channel).await?;
    Ok(Tagged { version: channel.version, body: channel })
}
