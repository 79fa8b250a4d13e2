//! Which route takes a request.

use crate::check::rank;
use crate::names::Name;
use crate::network::{Access, Cache, Limit, Network, Origin, Route, TokenPolicy};

impl Network {
    /// The route for a path (without query) that was asked for under a host name (without port, small letters): one
    /// of that host before one of any, then the longest path. `None`: nothing is served there.
    #[must_use]
    pub fn route(&self, host: &str, path: &str) -> Option<&Route> {
        let takes =
            |route: &&Route| route.host.as_ref().is_none_or(|h| h.as_str() == host) && route.path.takes(path);
        self.routes.iter().filter(takes).max_by_key(|route| rank(route))
    }

    /// All routes, the one that is asked first in front.
    #[must_use]
    pub fn ranked(&self) -> Vec<&Route> {
        let mut routes: Vec<&Route> = self.routes.iter().collect();
        routes.sort_by_key(|route| std::cmp::Reverse(rank(route)));
        routes
    }

    /// Origins of a route, in the order in which they are asked.
    pub fn origins_of<'a>(&'a self, route: &'a Route) -> impl Iterator<Item = &'a Origin> {
        route.origins.iter().filter_map(|name| self.origins.iter().find(|origin| origin.name == *name))
    }

    /// How long answers of a route are kept.
    #[must_use]
    pub fn cache_of(&self, route: &Route) -> Cache {
        find(&self.caches, route.cache.as_ref(), |cache| &cache.name).cloned().unwrap_or_else(Cache::usual)
    }

    /// Who may watch what a route serves.
    #[must_use]
    pub fn token_of(&self, route: &Route) -> Option<&TokenPolicy> {
        find(&self.tokens, route.token.as_ref(), |token| &token.name)
    }

    /// From where one may ask a route.
    #[must_use]
    pub fn access_of(&self, route: &Route) -> Option<&Access> {
        find(&self.access, route.access.as_ref(), |access| &access.name)
    }

    /// How much one may ask of a route.
    #[must_use]
    pub fn limit_of(&self, route: &Route) -> Option<&Limit> {
        find(&self.limits, route.limit.as_ref(), |limit| &limit.name)
    }
}

fn find<'a, T>(all: &'a [T], name: Option<&Name>, of: impl Fn(&T) -> &Name) -> Option<&'a T> {
    let name = name?;
    all.iter().find(|one| of(one) == name)
}
