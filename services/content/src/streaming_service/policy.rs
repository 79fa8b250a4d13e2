//! Playback policy: who watches a channel, from where, and how long a token of it holds. Edges enforce it; what they do not
//! enforce is not here: countries, tickets.

use std::net::IpAddr;

use garde::Validate;
use ipnet::IpNet;
use nx_chassis::{Api, Body, Caller, Ctx, IfMatch, Path, Problem, Tagged, Tx};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::channels::Channel;
use super::rules::Right;
use super::{CHANNEL_CHANGED, channels, store};

/// How long a token holds at most while its lease does: as long as an evening. Seconds.
pub(super) const TOKEN_S: u32 = 6 * 3600;
/// Shortest that it may: services that are away for some minutes end no picture.
const TOKEN_S_MIN: u32 = 900;
/// Networks that a policy names at most.
const NETWORKS_MAX: usize = 16;

pub(super) fn routes(api: Api) -> Api {
    api.get("/channels/{id}/playback-policy", read).put("/channels/{id}/playback-policy", change)
}

/// Who watches a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Access {
    /// Everybody who has its address.
    Public,
    /// Its members, by a token.
    Members,
    /// Who has paid: not built.
    Ticket,
    /// Who has subscribed: not built.
    Subscription,
}

impl Access {
    fn of(channel: &Channel) -> Self {
        if channel.members_only { Self::Members } else { Self::Public }
    }
}

#[derive(Debug, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Policy {
    /// That of the channel, for ever: it is part of its addresses.
    #[garde(skip)]
    access: Access,
    /// Addresses and networks from which members watch, such as `192.0.2.0/24`; nothing for anywhere.
    #[garde(length(max = NETWORKS_MAX), inner(length(max = 50)))]
    #[serde(default)]
    networks: Vec<String>,
    /// How long a token holds, seconds; who watches gets another before.
    #[garde(range(min = TOKEN_S_MIN, max = TOKEN_S))]
    #[serde(default = "token_s")]
    token_s: u32,
}

fn token_s() -> u32 {
    TOKEN_S
}

impl Policy {
    fn of(channel: &Channel) -> Self {
        Self { access: Access::of(channel), networks: channel.networks.clone(), token_s: channel.token_s }
    }
}

async fn read(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Tagged<Policy>, Problem> {
    let channel = channels::may(&by, &cx, &id, Right::Publish).await?;
    Ok(Tagged { version: channel.version, body: Policy::of(&channel) })
}

/// Whoever watches by a token of before is sent away, and comes back with one of the new policy.
async fn change(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Path(id): Path<String>,
    IfMatch(version): IfMatch,
    Body(policy): Body<Policy>,
) -> Result<Tagged<Policy>, Problem> {
    let channel = channels::may(&by, &cx, &id, Right::Manage).await?;
    let Policy { access, networks, token_s } = policy;
    if matches!(access, Access::Ticket | Access::Subscription) {
        let text = "tickets and subscriptions are not in this version: access is public or members";
        return Err(Problem::new(http::StatusCode::NOT_IMPLEMENTED, "not-built", text));
    }
    if access != Access::of(&channel) {
        let text = "who watches is part of the channel's addresses, for ever: make another channel";
        return Err(Problem::conflict("access-fixed", text));
    }
    if access == Access::Public && (!networks.is_empty() || token_s != TOKEN_S) {
        let text = "everybody watches this channel without a token: there is nothing to put limits into";
        return Err(Problem::conflict("open-channel", text));
    }
    for (nth, network) in networks.iter().enumerate() {
        is_network(network).map_err(|text| Problem::invalid(format!("/networks/{nth}"), text))?;
    }
    store::hold(&mut tx, &channel.id).await?;
    let channel = store::set_policy(&mut tx, &channel.id, version, &networks, token_s).await?;
    store::end_all(&mut tx, &channel.id, "the channel has another policy").await?;
    tx.emit(CHANNEL_CHANGED, &channel.id, &channel).await?;
    Ok(Tagged { version: channel.version, body: Policy::of(&channel) })
}

/// Whether a text is an address, or a network of addresses: read as the core reads it, which makes the tokens; else what is wrong.
fn is_network(text: &str) -> Result<(), &'static str> {
    let address = text.parse::<IpNet>().map(|net| net.addr()).or_else(|_| text.parse::<IpAddr>());
    match address {
        // Who comes by IPv4 is never seen in IPv6 clothes, so that nobody would come from there.
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            Err("is IPv4 written as IPv6: write it as IPv4, such as 192.0.2.7 or 192.0.2.0/24")
        }
        Ok(_) => Ok(()),
        Err(_) => Err("is an address or a network, such as 192.0.2.7 or 2001:db8::/32"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn networks_are_known() {
        for (text, good) in [
            ("192.0.2.7", true),
            ("192.0.2.0/24", true),
            ("2001:db8::/32", true),
            ("0.0.0.0/0", true),
            ("::/0", true),
            ("::ffff:192.0.2.7", false),
            ("::ffff:192.0.2.0/120", false),
            ("::ffff:0:0/96", false),
            ("192.0.2.0/33", false),
            ("2001:db8::/129", false),
            ("192.0.2.0/", false),
            ("192.0.2.0/+8", false),
            ("192.0.2.0/024", false),
            (" 192.0.2.0/24", false),
            ("192.0.2.0/24/8", false),
            ("fe80::1%1", false),
            ("192.0.2", false),
            ("home", false),
            ("", false),
        ] {
            assert_eq!(super::is_network(text).is_ok(), good, "{text}");
        }
        let told = super::is_network("::ffff:192.0.2.0/120");
        assert!(told.is_err_and(|text| text.contains("write it as IPv4")));
    }
}
