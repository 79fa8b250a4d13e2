//! Who asks.

use axum::extract::FromRequestParts;
use http::HeaderName;
use http::request::Parts;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// A role that may do everything.
const OPERATOR: &str = "operator";
/// A role that nobody is given: services have it.
const SERVICE: &str = "service";
/// Where a request came from, as the gateway has seen it; what others say of it is taken off.
pub const CLIENT: HeaderName = HeaderName::from_static("x-nexus-client");
/// The name and port under which the gateway was asked.
pub const REACHED: HeaderName = HeaderName::from_static("x-nexus-reached");

/// Who asks, as the gateway has found out. It travels with the request, and from process to process under the ring's seal:
/// nobody outside can name one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Their name, the same for ever.
    pub subject: String,
    /// What they are; `operator` may do everything.
    pub roles: Vec<String>,
    /// The session that they speak in; none for a key, a service or this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What an app of others that speaks for them may do, as scopes; none when nobody speaks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

impl Caller {
    /// Who runs the system.
    pub fn operator() -> Self {
        Self::new(OPERATOR, &[OPERATOR])
    }

    /// Another service.
    pub fn service(id: &str) -> Self {
        Self::new(&format!("service:{id}"), &[OPERATOR, SERVICE])
    }

    /// Somebody with these roles.
    pub fn new(subject: &str, roles: &[&str]) -> Self {
        let roles = roles.iter().map(|&role| role.to_owned()).collect();
        Self { subject: subject.into(), roles, session: None, scope: None }
    }

    /// Whether they may do everything.
    pub fn is_operator(&self) -> bool {
        self.has(OPERATOR)
    }

    /// Whether it is one of the people, whose rights may have changed since they were told.
    pub fn is_person(&self) -> bool {
        !self.has(SERVICE) && self.subject != OPERATOR
    }

    fn has(&self, role: &str) -> bool {
        self.roles.iter().any(|r| r == role)
    }

    /// Refuses all but services of the ring.
    ///
    /// # Errors
    /// 403.
    pub fn must_be_service(&self) -> Result<(), Problem> {
        let told = || Problem::forbidden("only services of the ring ask for that");
        if self.has(SERVICE) { Ok(()) } else { Err(told()) }
    }

    /// Refuses all but this person and who may do everything: whose things these are is nobody else's business.
    ///
    /// # Errors
    /// 404.
    pub fn must_own(&self, subject: &str) -> Result<(), Problem> {
        let told = || Problem::not_found("there is nothing of that name");
        if self.subject == subject || self.is_operator() { Ok(()) } else { Err(told()) }
    }

    /// Refuses those who have not this role.
    ///
    /// # Errors
    /// 403, with the role that is missing.
    pub fn must_be(&self, role: &str) -> Result<(), Problem> {
        let told = || Problem::forbidden(format!("only who has the role {role} may do that"));
        if self.has(role) || self.is_operator() { Ok(()) } else { Err(told()) }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(|| Problem::unauthorized("say who you are"))
    }
}
