//! How a process is known to the gateway, which holds the table of instances, and knows of the others.
//!
//! While the gateway is away a process goes on with what it was told last.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::registry::{BEAT, Instance, Listed};
use crate::send::{CALLER, Mesh, SendError};

/// Who holds the table, in the catalogue.
pub const HOLDER: &str = "backend-api";
/// Where the holder has it.
pub const PATH: &str = "/api/backend-api/v1/instances";
/// Time that the gateway has for a watch, which it holds for less.
const WATCH_MAX: Duration = Duration::from_secs(40);
/// Largest table that is read, bytes.
const TABLE_BYTES_MAX: usize = 4 << 20;

/// The table as it is sent.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Table {
    /// Every instance that is known.
    pub items: Vec<Listed>,
    /// Grows with every change; give it back to wait for the next.
    pub index: u64,
}

/// A process that is known to the gateway at `HOST:PORT`.
#[derive(Debug, Clone)]
pub struct Member {
    /// `HOST:PORT` of the gateway.
    pub holder: String,
    /// Who the process is, as it is sealed.
    pub claims: Vec<u8>,
}

impl Member {
    /// Says that an instance is there, and learns of the others.
    ///
    /// # Errors
    /// When the gateway did not take it.
    pub async fn beat(&self, mesh: &Mesh, instance: &Instance) -> Result<(), SendError> {
        let body = serde_json::to_vec(instance).map_err(|e| SendError::Request(e.to_string()))?;
        let path = format!("{PATH}/{}", instance.id);
        let table = self.ask(mesh, Method::PUT, &path, body).await?;
        mesh.replace(table.items);
        Ok(())
    }

    /// Says that it goes.
    ///
    /// # Errors
    /// When the gateway did not hear of it; it will find out.
    pub async fn leave(&self, mesh: &Mesh, id: &str) -> Result<(), SendError> {
        self.ask(mesh, Method::DELETE, &format!("{PATH}/{id}"), Vec::new()).await.map(drop)
    }

    /// The same; a gateway that does not take it is told again with the next beat.
    pub async fn tell(&self, mesh: &Mesh, instance: &Instance) {
        if let Err(error) = self.beat(mesh, instance).await {
            tracing::warn!(instance.service, %error, "the gateway does not know of us; it is told again");
        }
    }

    /// Goes on telling of the instance `id`, as it is with every beat, until `stop` turns true; then it leaves.
    pub async fn present<F: Future<Output = Instance>>(
        &self,
        mesh: &Mesh,
        id: &str,
        instance: impl Fn() -> F,
        stop: &mut watch::Receiver<bool>,
    ) {
        let for_ever = async {
            loop {
                mesh.clock().sleep(BEAT).await;
                self.tell(mesh, &instance().await).await;
            }
        };
        tokio::select! {
            _ = stop.wait_for(|&stop| stop) => {}
            () = for_ever => {}
        }
        if let Err(error) = self.leave(mesh, id).await {
            tracing::debug!(id, %error, "the gateway will find out that we are gone");
        }
    }

    /// Learns of changes as they come, for ever.
    pub async fn watch(&self, mesh: &Mesh) {
        let mut index = None;
        loop {
            let query = index.map(|i: u64| format!("?index={i}")).unwrap_or_default();
            match self.ask(mesh, Method::GET, &format!("{PATH}{query}"), Vec::new()).await {
                Ok(table) => {
                    index = Some(table.index);
                    mesh.replace(table.items);
                }
                Err(error) => {
                    tracing::debug!(%error, "the table of instances stays as it is");
                    index = None;
                    mesh.clock().sleep(BEAT).await;
                }
            }
        }
    }

    async fn ask(&self, mesh: &Mesh, method: Method, path: &str, body: Vec<u8>) -> Result<Table, SendError> {
        let silent =
            |why: String| SendError::Silent { instance: HOLDER.into(), address: self.holder.clone(), why };
        let is_watch = method == Method::GET;
        let sealed = HeaderValue::from_str(&mesh.seal(HOLDER, &self.claims));
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.holder))
            .header(CALLER, sealed.map_err(|e| SendError::Request(e.to_string()))?)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .map_err(|e| SendError::Request(e.to_string()))?;
        let limit = if is_watch { WATCH_MAX } else { BEAT };
        let answer = async {
            let response = mesh.client.request(request).await.map_err(|e| e.to_string())?;
            let (status, body) = (response.status(), response.into_body());
            let body = Limited::new(body, TABLE_BYTES_MAX).collect().await.map_err(|e| e.to_string())?;
            Ok((status, body))
        };
        let answer = tokio::time::timeout(limit, answer).await;
        let (status, body) = answer.unwrap_or_else(|_| Err("not in time".into())).map_err(silent)?;
        match status {
            StatusCode::NO_CONTENT => Ok(Table::default()),
            StatusCode::OK => serde_json::from_slice(&body.to_bytes()).map_err(|e| silent(e.to_string())),
            _ => Err(silent(format!("it said {status}; have both the same gateway.ring.secret_file?"))),
        }
    }
}
