//! streaming-service-v2: channels of people and of organisations, their stream keys, their members, and what members watch with.
//!
//! ```text
//! channel ─► stream key ─► the core knows its hash, and lets publishers in by itself
//!         ├► simulcast targets ─► the core sends on to them
//!         ├► broadcast (planned, or made when somebody publishes) ─► markers, clips
//!         └► member ─► playback: a lease of session-mgr and a token of the core ─► edges prove it, asking nobody
//! ```
//!
//! What is taken back here is told to the core at once, again and again until that has heard it. While this service is away
//! whoever publishes or watches goes on, and nothing new begins.
//!
//! The core tells no events: its streams are looked at every five seconds, and broadcasts follow them.
//!
//! Who may do what with a channel is decided by `rules::right`, by what user-auth tells of organisations.
//!
//! Never: a broadcast live whose encoder is gone for longer than the reconnect window; a key in the store (its hash is); a token for
//! who is no member; a member who is none any more and still watches.

mod air;
mod broadcasts;
mod channels;
mod clips;
mod core;
mod keys;
mod markers;
mod members;
mod orgs;
mod person;
mod playback;
mod policy;
mod rules;
mod store;
mod targets;

use nx_chassis::{Api, Caller, Event, NewJob, Problem, Service, Tx};
use nx_contract::identity::{
    CREATOR, LEASE_ENDED, OPERATOR, ORG_DELETED, ORG_FACTS, PersonNow, SESSION_REVOKED, USER_CHANGED,
    USER_ERASED, USER_FORGOTTEN,
};
use serde::Deserialize;

/// A channel is there. Subject of this and the next: its id.
const CHANNEL_CREATED: &str = "cos.streaming.channel.created.v1";
const CHANNEL_CHANGED: &str = "cos.streaming.channel.changed.v1";
const CHANNEL_DELETED: &str = "cos.streaming.channel.deleted.v1";
/// Somebody may publish by a further key, or no more. Subject: the key's id.
const KEY_CREATED: &str = "cos.streaming.key.created.v1";
const KEY_DELETED: &str = "cos.streaming.key.deleted.v1";
/// Somebody may watch a channel, or no more. Subject: the channel's id.
const MEMBER_ADDED: &str = "cos.streaming.member.added.v1";
const MEMBER_REMOVED: &str = "cos.streaming.member.removed.v1";
/// Somebody watches. Subject: the token's id.
const PLAYBACK_GRANTED: &str = "cos.streaming.playback.granted.v1";
/// And may no more.
const PLAYBACK_ENDED: &str = "cos.streaming.playback.ended.v1";
/// A broadcast is planned, on air, over. Subject: its id.
const BROADCAST_SCHEDULED: &str = "cos.streaming.broadcast.scheduled.v1";
const BROADCAST_LIVE: &str = "cos.streaming.broadcast.live.v1";
const BROADCAST_ENDED: &str = "cos.streaming.broadcast.ended.v1";

/// The job that looks at the core's streams.
const LOOK: &str = "look";
/// The job that tells the core what it does not know yet.
const TELL: &str = "tell";
/// The one that tells it of all keys and targets again.
const REMIND: &str = "remind";

pub(crate) fn service() -> Service {
    let facts = [
        CHANNEL_CREATED,
        CHANNEL_CHANGED,
        CHANNEL_DELETED,
        KEY_CREATED,
        KEY_DELETED,
        MEMBER_ADDED,
        MEMBER_REMOVED,
        PLAYBACK_GRANTED,
        PLAYBACK_ENDED,
        BROADCAST_SCHEDULED,
        BROADCAST_LIVE,
        BROADCAST_ENDED,
        USER_FORGOTTEN,
    ];
    let of_channels = keys::routes(channels::routes(person::routes(Api::new())));
    let of_viewers = policy::routes(playback::routes(members::routes(of_channels)));
    let of_broadcasts = clips::routes(markers::routes(broadcasts::routes(of_viewers)));
    let service = Service::new("streaming-service-v2")
        .migration(include_str!("0001_init.sql"))
        .migration(include_str!("0002_broadcasts.sql"))
        .migration(include_str!("0003_orgs.sql"))
        .api(targets::routes(of_broadcasts))
        .on(USER_CHANGED, changed)
        .on(USER_ERASED, person::erased)
        .on(SESSION_REVOKED, signed_out)
        .on(LEASE_ENDED, given_back)
        .on(ORG_DELETED, orgs::deleted)
        .job(TELL, core::tell)
        .job(REMIND, core::remind)
        .job(LOOK, broadcasts::look)
        .job(person::FORGET, person::forget)
        .every("* * * * *", TELL)
        .every("7 * * * *", REMIND)
        .every("*/5 * * * * *", LOOK);
    let service = ORG_FACTS.into_iter().fold(service, |service, fact| service.on(fact, orgs::changed));
    facts.into_iter().fold(service, Service::emits)
}

/// Lets only those make something who still may, and keeps what they may as it is to the end of the transaction: an access token
/// is older than that.
async fn may_create(tx: &mut Tx, by: &Caller) -> Result<(), Problem> {
    by.must_be(CREATOR)?;
    let now = store::person(tx, &by.subject).await?;
    if now.creates {
        Ok(())
    } else {
        Err(Problem::forbidden("you may make no channels any more: ask an operator"))
    }
}

/// Has the core told of what was changed in this transaction.
async fn tell(tx: &mut Tx) -> Result<(), Problem> {
    Ok(tx.enqueue(NewJob::new(TELL, &())).await.map(drop)?)
}

/// Whose session or lease has ended.
#[derive(Deserialize)]
struct Whose {
    user_id: String,
}

async fn changed(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    let PersonNow { person, disabled } = event.data()?;
    let creates = !disabled && person.roles.iter().any(|role| [OPERATOR, CREATOR].contains(&role.as_str()));
    store::set_person(tx, &event.subject, disabled, creates).await?;
    store::call_them(tx, &event.subject, &person.handle, &person.name).await?;
    if !creates {
        keys::delete_all(tx, &event.subject).await?;
        targets::delete_all(tx, &event.subject).await?;
    }
    if disabled {
        store::end_of(tx, &event.subject, "the account was disabled").await?;
    }
    Ok(())
}

async fn signed_out(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    store::person(tx, &event.data::<Whose>()?.user_id).await?;
    store::note_end(tx, &event.subject).await?;
    store::end_in(tx, &event.subject, "the session is over").await
}

async fn given_back(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    store::person(tx, &event.data::<Whose>()?.user_id).await?;
    store::note_end(tx, &event.subject).await?;
    store::end_by(tx, &event.subject, "its lease is over").await
}
