//! What stands around a handler that writes: its transaction is ended here, together with the answer under its
//! `Idempotency-Key`. So the effect and the answer are kept both or not at all, and a repetition finds the answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use sha2::{Digest, Sha256};

use super::limited;
use super::reply::Unkept;
use super::take::BODY_BYTES_MAX;
use crate::caller::Caller;
use crate::ctx::Ctx;
use crate::problem::Problem;
use crate::tx::Slot;
use crate::{args, row};
use nx_db::{DbError, Open};
use nx_mesh::hex;

/// The header that names a request, whichever try of it this is.
pub(super) const KEY: &str = "idempotency-key";
/// Longest key, bytes.
const KEY_BYTES_MAX: usize = 255;
/// How long an answer is kept.
const KEPT_MS: i64 = 24 * 3_600_000;
/// How long a request waits for an equal one that is being done.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Largest answer that is kept, bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Stands for the status of an answer that had a secret in it.
const SHOWN: i64 = 0;
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

struct Kept {
    fingerprint: String,
    status: i64,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}
row!(Kept { fingerprint, status, body } json { headers });

/// The layer.
pub(super) async fn unit_of_work(
    State(cx): State<Ctx>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let key = match request.headers().get(KEY) {
        Some(key) if request.method() == Method::POST => key.clone(),
        _ => {
            let (slot, response) = run(request, next).await;
            if let Some(open) = slot {
                cx.commit(open).await?;
            }
            return Ok(response);
        }
    };
    let (head, body) = request.into_parts();
    let body = limited(body, BODY_BYTES_MAX).await?;
    let once = Once::new(&cx, &head, &key, &body)?;
    let lock = cx.lock_for(&once);
    let Ok(_turn) = tokio::time::timeout(WAIT_MAX, lock.lock()).await else {
        return Err(Problem { retry_after_s: Some(1), ..in_flight() });
    };
    if let Some(kept) = once.kept(&cx).await? {
        return kept.replay(&once);
    }
    let (slot, response) = run(Request::from_parts(head, Body::from(body)), next).await;
    if !response.status().is_success() {
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    let body = limited(body, ANSWER_BYTES_MAX)
        .await
        .map_err(|_| Problem::internal("the answer is too long to be kept"))?;
    let open = match slot {
        Some(open) => open,
        None => cx.db().begin().await?,
    };
    match once.keep(&cx, open, &head, &body).await {
        Ok(()) => Ok(Response::from_parts(head, Body::from(body))),
        // Another node has done the same meanwhile: what was done here is undone, and its answer is the answer.
        Err(error) if error.is_unique() => match once.kept(&cx).await? {
            Some(kept) => kept.replay(&once),
            None => Err(in_flight()),
        },
        Err(error) => Err(error.into()),
    }
}

/// Runs the handler; its transaction, if it has used one and answers no error.
async fn run(mut request: Request, next: Next) -> (Option<Open>, Response) {
    let slot = Slot::default();
    request.extensions_mut().insert(slot.clone());
    let response = next.run(request).await;
    let open = slot.lock().ok().and_then(|mut slot| slot.take());
    // An error undoes it: dropped here.
    (open.filter(|_| response.status().as_u16() < 400), response)
}

fn in_flight() -> Problem {
    Problem::conflict("in-flight", "a request with this Idempotency-Key is being done: ask again")
}

/// A request that may come more than once.
pub(crate) struct Once {
    caller: String,
    key: String,
    fingerprint: String,
}

impl Once {
    fn new(cx: &Ctx, head: &Parts, key: &HeaderValue, body: &[u8]) -> Result<Self, Problem> {
        let key = key.to_str().ok().filter(|k| (1..=KEY_BYTES_MAX).contains(&k.len()));
        let text = || format!("Idempotency-Key must be 1 to {KEY_BYTES_MAX} printable characters");
        let key = key.ok_or_else(|| Problem::bad_request(text()))?.to_owned();
        let caller = head.extensions.get::<Caller>().map(|c| c.subject.clone()).unwrap_or_default();
        let resource = head.uri.path_and_query().map_or("", |p| p.as_str());
        let digest = Sha256::new().chain_update(resource).chain_update([0]).chain_update(body).finalize();
        // Of a body that somebody could guess nobody can find out from the store whether they have.
        Ok(Self { caller, key, fingerprint: cx.vault().tag(&hex(&digest)) })
    }

    async fn kept(&self, cx: &Ctx) -> Result<Option<Kept>, DbError> {
        let sql = "SELECT fingerprint, status, headers, body FROM chassis_once \
                   WHERE caller = $1 AND key = $2 AND at_ms > $3";
        cx.db().one(sql, args![&self.caller, &self.key, cx.now_ms() - KEPT_MS]).await
    }

    async fn keep(
        &self,
        cx: &Ctx,
        mut open: Open,
        head: &http::response::Parts,
        body: &[u8],
    ) -> Result<(), DbError> {
        let kept = [header::CONTENT_TYPE, header::LOCATION, header::ETAG].map(|name| {
            let value = head.headers.get(&name).and_then(|v| v.to_str().ok())?;
            Some((name.to_string(), value.to_owned()))
        });
        let kept: Vec<_> = kept.into_iter().flatten().collect();
        let now_ms = cx.now_ms();
        let sql = "DELETE FROM chassis_once WHERE caller = $1 AND key = $2 AND at_ms <= $3";
        open.run(sql, args![&self.caller, &self.key, now_ms - KEPT_MS]).await?;
        let sql = "INSERT INTO chassis_once (caller, key, fingerprint, status, headers, body, at_ms) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let (status, body) = match head.extensions.get::<Unkept>() {
            Some(_) => (SHOWN, Vec::new()),
            None => (head.status.as_u16().into(), body.to_vec()),
        };
        let headers = crate::Value::json(&kept);
        let args = args![&self.caller, &self.key, &self.fingerprint, status, headers, body, now_ms];
        open.run(sql, args).await?;
        cx.commit(open).await
    }
}

impl Kept {
    fn replay(self, once: &Once) -> Result<Response, Problem> {
        if self.fingerprint != once.fingerprint {
            let text = "this Idempotency-Key was given with another request: take a new one";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "key-reused", text));
        }
        if self.status == SHOWN {
            let text =
                "it was done, and its secret was shown then and is not kept: ask anew under another key";
            return Err(Problem::conflict("shown-once", text));
        }
        let mut response = Response::new(Body::from(self.body));
        let status = u16::try_from(self.status).ok().and_then(|s| StatusCode::from_u16(s).ok());
        *response.status_mut() = status.unwrap_or_default();
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().insert(name, value);
            }
        }
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(response)
    }
}

impl Ctx {
    /// What equal requests wait at.
    fn lock_for(&self, once: &Once) -> Arc<tokio::sync::Mutex<()>> {
        let Ok(mut in_flight) = self.inner().in_flight.lock() else { return Arc::default() };
        in_flight.retain(|_, lock| lock.strong_count() > 0);
        let place = in_flight.entry((once.caller.clone(), once.key.clone())).or_default();
        place.upgrade().unwrap_or_else(|| {
            let lock = Arc::default();
            *place = Arc::downgrade(&lock);
            lock
        })
    }

    /// Forgets answers after a day, events and jobs that are done after a week, and after 90 days those that nobody replayed.
    pub(crate) async fn forget(&self) -> Result<(), DbError> {
        let [day, week, quarter] = [1, 7, 90].map(|days| self.now_ms() - days * KEPT_MS);
        let mut tx = self.begin();
        tx.run("DELETE FROM chassis_once WHERE at_ms <= $1", args![day]).await?;
        for (state, at_ms) in [(1, week), (2, quarter)] {
            tx.run("DELETE FROM chassis_inbox WHERE state = $1 AND at_ms <= $2", args![state, at_ms]).await?;
            tx.run("DELETE FROM chassis_job WHERE state = $1 AND due_ms <= $2", args![state, at_ms]).await?;
        }
        tx.commit().await
    }
}
