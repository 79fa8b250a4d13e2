//! Organisations that channels belong to, as user-auth tells of them.
//!
//! Each fact says how the whole organisation is, and has a version: so it does not matter in which order they come, or how often.

use std::collections::BTreeSet;

use nx_chassis::{Event, Problem, Tx};
use nx_contract::identity::OrgNow;
use serde_json::json;

use super::{MEMBER_REMOVED, channels, keys, store, targets};

/// Somebody came, went or has another role, or the organisation another name. Who has gone can do nothing any more: the keys that they
/// have made open nothing, to their targets nothing is sent, and what they watch ends.
pub(super) async fn changed(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    let (org, now): (_, OrgNow) = (&event.subject, event.data()?);
    let stay: BTreeSet<&str> = now.members.iter().map(|member| member.user_id.as_str()).collect();
    let were = store::org_members(tx, org).await?;
    let gone: Vec<_> = were.into_iter().filter(|user| !stay.contains(user.as_str())).collect();
    // Whoever lets them make something waits here, or has seen that they are in it.
    for user in &gone {
        store::person(tx, user).await?;
    }
    if !store::set_org(tx, org, &now).await? {
        return Ok(());
    }
    // In the order in which a channel that is deleted takes them.
    for user in &gone {
        keys::delete_made(tx, org, user).await?;
    }
    for user in &gone {
        targets::delete_made(tx, org, user).await?;
    }
    for user in &gone {
        // A place among the viewers that they have given themselves, too.
        for channel in store::remove_members_in_org(tx, org, user).await? {
            tx.emit(MEMBER_REMOVED, &channel, &json!({"user_id": user})).await?;
        }
    }
    for user in &gone {
        store::end_in_org(tx, org, user, "no member of the organisation any more").await?;
    }
    Ok(())
}

/// Its channels end as one that is deleted.
pub(super) async fn deleted(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    let org = &event.subject;
    store::end_org(tx, org).await?;
    for channel in store::channels_of_org(tx, org).await? {
        channels::delete(tx, &channel).await?;
    }
    Ok(store::forget_channels_of_org(tx, org).await?)
}
