//! Who asks.

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// A role that may do everything.
const OPERATOR: &str = "operator";

/// Who asks, as the gateway has found out. It travels with the request, and from process to process under the ring's seal:
/// nobody outside can name one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Their name, the same for ever.
    pub subject: String,
    /// What they are; `operator` may do everything.
    pub roles: Vec<String>,
}

impl Caller {
    /// Who runs the system.
    pub fn operator() -> Self {
        Self { subject: OPERATOR.into(), roles: vec![OPERATOR.into()] }
    }

    /// Another service.
    pub fn service(id: &str) -> Self {
        Self { subject: format!("service:{id}"), roles: vec![OPERATOR.into()] }
    }

    /// Refuses those who have not this role.
    ///
    /// # Errors
    /// 403, with the role that is missing.
    pub fn must_be(&self, role: &str) -> Result<(), Problem> {
        if self.roles.iter().any(|r| r == role || r == OPERATOR) {
            return Ok(());
        }
        Err(Problem::forbidden(format!("only who has the role {role} may do that")))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(|| Problem::unauthorized("say who you are"))
    }
}
