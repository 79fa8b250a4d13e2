//! What a service declares.

use crate::ctx::Ctx;
use crate::events::{Reaction, Reactions};
use crate::http::Api;
use crate::jobs::{Job, Works};
use crate::problem::Problem;

/// A service: its name in the catalogue, its tables, its routes, the events that it tells and hears, its jobs. What it
/// needs of others stands in the catalogue.
#[must_use = "a service that nobody starts does nothing"]
#[derive(Clone)]
pub struct Service {
    pub(crate) id: &'static str,
    pub(crate) migrations: Vec<&'static str>,
    pub(crate) api: Api,
    pub(crate) emits: Vec<&'static str>,
    pub(crate) reactions: Reactions,
    pub(crate) works: Works,
    pub(crate) needs: Vec<&'static str>,
}

impl Service {
    /// A service of this name.
    pub fn new(id: &'static str) -> Self {
        Self {
            id,
            migrations: Vec::new(),
            api: Api::default(),
            emits: Vec::new(),
            reactions: Reactions::default(),
            works: Works::default(),
            needs: Vec::new(),
        }
    }

    /// Its name.
    pub fn id(&self) -> &'static str {
        self.id
    }

    /// SQL that makes its tables, or changes them; each runs once, in this order.
    pub fn migration(mut self, sql: &'static str) -> Self {
        self.migrations.push(sql);
        self
    }

    /// Its routes, below `/v1`.
    pub fn api(self, api: Api) -> Self {
        Self { api, ..self }
    }

    /// A kind of event that it tells: `cos.DOMAIN.ENTITY.FACT.v1`.
    pub fn emits(mut self, kind: &'static str) -> Self {
        self.emits.push(kind);
        self
    }

    /// A kind of event that it hears, and what it makes of it.
    pub fn on(mut self, kind: &'static str, reaction: impl for<'a> Reaction<'a> + 'static) -> Self {
        self.reactions.add(kind, reaction);
        self
    }

    /// A kind of job that it does later.
    pub fn job<F, D>(mut self, kind: &'static str, work: F) -> Self
    where
        F: Fn(Ctx, Job) -> D + Send + Sync + 'static,
        D: Future<Output = Result<(), Problem>> + Send + 'static,
    {
        self.works.add(kind, work);
        self
    }

    /// A job that comes by itself, at the times of a cron expression in UTC.
    pub fn every(mut self, cron: &'static str, kind: &'static str) -> Self {
        self.works.every(cron, kind);
        self
    }

    /// A service that it calls: for examples and tests, which are in no catalogue.
    pub fn needs(mut self, service: &'static str) -> Self {
        self.needs.push(service);
        self
    }
}
