//! From where one may come.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::names::Country;
use crate::network::Access;

/// Networks and their countries, for looking up addresses.
#[derive(Debug, Clone, Default)]
pub struct Countries {
    networks: HashMap<IpNet, Country>,
    /// Of prefixes; a look-up tries each, the longest first.
    lengths: BTreeSet<u8>,
}

/// Why a table of countries is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the table of countries is not NETWORK,COUNTRY such as 192.0.2.0/24,DE")]
pub struct CountryError {
    /// From 1.
    pub line: usize,
}

impl Countries {
    /// Reads lines of `NETWORK,COUNTRY`; empty ones and those with `#` in front say nothing.
    ///
    /// # Errors
    /// The first line that is something else.
    pub fn parse(text: &str) -> Result<Self, CountryError> {
        let mut table = Self::default();
        for (nth, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let read = || {
                let (network, country) = line.split_once(',')?;
                let country = Country::try_from(country.trim().to_owned()).ok()?;
                Some((network.trim().parse::<IpNet>().ok()?, country))
            };
            let (network, country) = read().ok_or(CountryError { line: nth + 1 })?;
            table.lengths.insert(network.prefix_len());
            table.networks.insert(network.trunc(), country);
        }
        Ok(table)
    }

    /// Of the smallest network that has the address.
    #[must_use]
    pub fn of(&self, address: IpAddr) -> Option<&Country> {
        let address = address.to_canonical();
        let around = |length: &u8| IpNet::new(address, *length).ok().map(|network| network.trunc());
        self.lengths.iter().rev().filter_map(around).find_map(|network| self.networks.get(&network))
    }
}

/// Why somebody may not come in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The network is denied.
    #[error("{0} is denied")]
    Network(IpNet),
    /// The country is denied.
    #[error("{0} is denied")]
    Country(Country),
    /// Nothing that is allowed has it.
    #[error("neither the network nor the country is allowed")]
    Elsewhere,
}

impl Access {
    /// Whether an address may come in. Networks decide before countries, and what is denied before what is allowed;
    /// where something is allowed, all else is not. An address of unknown country is of no allowed one.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, address: IpAddr, country: Option<&Country>) -> Result<(), Refusal> {
        let address = address.to_canonical();
        if let Some(network) = self.deny.iter().find(|network| network.contains(&address)) {
            return Err(Refusal::Network(*network));
        }
        if self.allow.iter().any(|network| network.contains(&address)) {
            return Ok(());
        }
        if let Some(country) = country {
            if self.countries_deny.contains(country) {
                return Err(Refusal::Country(country.clone()));
            }
            if self.countries_allow.contains(country) {
                return Ok(());
            }
        }
        let open = self.allow.is_empty() && self.countries_allow.is_empty();
        if open { Ok(()) } else { Err(Refusal::Elsewhere) }
    }
}
