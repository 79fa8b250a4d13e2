//! What is written down and our own edges do not enforce, or not without more.

use crate::network::Network;

impl Network {
    /// A sentence for each; `countries`: edges have a table of countries.
    #[must_use]
    pub fn notes(&self, countries: bool) -> Vec<String> {
        let by_country = |nth: usize| {
            self.access
                .get(nth)
                .is_some_and(|a| !(a.countries_allow.is_empty() && a.countries_deny.is_empty()))
        };
        let access = (0..self.access.len()).filter(|nth| !countries && by_country(*nth)).map(|nth| {
            format!(
                "access[{nth}]: says countries, and without a table no address has one; name a file of lines \
                 NETWORK,COUNTRY in edge.network.countries of each edge"
            )
        });
        let remote = |keys: &str| keys.starts_with("http://") || keys.starts_with("https://");
        let keys = self.tokens.iter().enumerate().filter(|(_, token)| remote(&token.keys)).map(|(nth, _)| {
            format!("token[{nth}].keys: edges fetch no keys and let nobody in; name a file on each of them")
        });
        let limits =
            self.limits.iter().enumerate().filter(|(_, l)| l.connections.is_some()).map(|(nth, _)| {
                format!("limit[{nth}].connections: edges do not count them; write requests_per_s too")
            });
        access.chain(keys).chain(limits).collect()
    }
}
