//! Helm values of one region: which edges run there, and which origins they ask.

use std::fmt::Write as _;

use super::{GenerateError, Generated};
use crate::names::Name;
use crate::network::{Network, Origin};

pub(super) fn generate(network: &Network, region: Option<&Name>) -> Result<Generated, GenerateError> {
    let all = || network.regions.iter().map(|r| r.name.to_string()).collect::<Vec<_>>().join(", ");
    let known = region.and_then(|name| network.regions.iter().find(|region| region.name == *name));
    let region = known.ok_or_else(|| GenerateError::Region(all()))?;
    let mut text = format!(
        "# Made by `nexus cdn generate kubernetes`: values of region {0}.\nregion: {0}\nedges:\n",
        region.name
    );
    for edge in network.edges.iter().filter(|edge| edge.region == region.name) {
        let _ = write!(
            text,
            "  - name: {}\n    host: {:?}\n    tls: {}\n    viewersMax: {}\n",
            edge.name,
            edge.url.authority(),
            edge.url.tls(),
            edge.viewers_max
        );
    }
    text.push_str("origins:\n");
    for Origin { name, http, plane } in &network.origins {
        let _ = write!(text, "  - name: {name}\n    http: {:?}\n", http.to_string());
        if let Some(plane) = plane {
            let _ = writeln!(text, "    plane: {plane:?}");
        }
    }
    if let Some(tls) = &network.tls {
        let hosts: Vec<String> = tls.hosts.iter().map(|host| format!("{:?}", host.as_str())).collect();
        let _ = write!(text, "tls:\n  hosts: [{}]\n  min: {:?}\n", hosts.join(", "), tls.min);
    }
    Ok(Generated { text, left_out: Vec::new() })
}
