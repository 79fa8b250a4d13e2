//! The gate that every door of a node asks.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, Request, header};
use nx_media::{StreamKey, StreamPattern};
use tokio::sync::watch;

use crate::claims::Claims;
use crate::cose;
use crate::denial::Denial;
use crate::keys::{Key, Keys};
use crate::revoked::{Page, Revocation, RevokeError, Revoked, What};
use crate::visit::{self, HEADER, Shown, Visit, Way, stream_of};

/// Longest token, characters.
const TOKEN_LEN_MAX: usize = 4096;
/// Tokens that are remembered as proved, in each of two generations.
const KNOWN_MAX: usize = 1 << 14;

/// What opens and what is behind it.
pub struct Gate {
    rules: Vec<StreamPattern>,
    /// Whatever is asked for is behind it.
    whole: bool,
    issuer: Option<String>,
    keys: RwLock<Arc<Keys>>,
    keys_file: Option<PathBuf>,
    /// Of the file, as it was read last.
    stamp: Mutex<Option<Stamp>>,
    known: Mutex<Known>,
    revoked: Arc<Revoked>,
    /// What other nodes have taken back is known.
    fed: Arc<AtomicBool>,
    admitted: AtomicU64,
    refused: AtomicU64,
}

/// No key and no token is in it.
impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("rules", &self.rules).field("whole", &self.whole).finish_non_exhaustive()
    }
}

/// Tokens that were proved lately. The keys that proved them are those in force.
#[derive(Default)]
struct Known {
    young: HashMap<Box<str>, Arc<Claims>>,
    old: HashMap<Box<str>, Arc<Claims>>,
}

/// Somebody was let in.
#[derive(Debug, Clone)]
pub struct Pass {
    /// What the token says.
    pub claims: Arc<Claims>,
    /// What it was shown for.
    pub stream: Option<StreamKey>,
    shown: Option<Shown>,
}

impl Pass {
    /// Whether another node was let in, which shares what it gets with those whom it lets in.
    #[must_use]
    pub fn is_node(&self) -> bool {
        self.claims.is_node()
    }

    /// Makes an answer one viewer's: no shared cache may keep it. A playlist whose address had the token in its query gives
    /// it a cookie, with which the rest can be asked for.
    pub fn dress(&self, headers: &mut HeaderMap, list: bool, now_s: i64) {
        if self.is_node() {
            return;
        }
        visit::keep_private(headers);
        let query = self.shown.as_ref().filter(|shown| shown.way == Way::Query && list);
        if let (Some(shown), Some(stream)) = (query, &self.stream) {
            let rest_s = self.claims.expires_s.saturating_sub(now_s).max(0);
            let cookie = format!(
                "{HEADER}={}; Path=/{stream}/; Max-Age={rest_s}; HttpOnly; SameSite=Lax",
                shown.token
            );
            if let Ok(mut value) = HeaderValue::from_str(&cookie) {
                value.set_sensitive(true);
                headers.append(header::SET_COOKIE, value);
            }
        }
    }
}

/// What a [`Gate`] is made of.
#[derive(Default)]
pub struct Terms {
    /// Which streams ask for a token.
    pub rules: Vec<StreamPattern>,
    /// Or everything does.
    pub whole: bool,
    /// Who must have made it.
    pub issuer: Option<String>,
    /// Where the keys are.
    pub keys_file: Option<PathBuf>,
    /// Where what is taken back here is written down.
    pub revoked_file: Option<PathBuf>,
    /// Other nodes take tokens back too: nobody is let in before it is known which.
    pub waits: bool,
}

impl Gate {
    /// Reads the keys, and what was taken back.
    ///
    /// # Errors
    /// In words, with what to do.
    pub fn open(terms: Terms) -> Result<Arc<Self>, String> {
        let keys = terms.keys_file.as_deref().map(read_keys).transpose()?.unwrap_or_else(Keys::none);
        let revoked = Revoked::open(terms.revoked_file.as_deref())
            .map_err(|e| format!("what was taken back cannot be read: {e}"))?;
        let fed = AtomicBool::new(!terms.waits);
        Ok(Arc::new(Self::of(terms, keys, (Arc::new(revoked), Arc::new(fed)))))
    }

    /// A gate in front of everything, by other keys, that knows what this one knows to be taken back. Keys that cannot be
    /// read open nothing until they can.
    #[must_use]
    pub fn whole(&self, keys_file: PathBuf, issuer: Option<String>) -> Arc<Self> {
        let keys = read_keys(&keys_file).unwrap_or_else(|error| {
            tracing::error!(error, "nobody is let in by these keys");
            Keys::none()
        });
        let terms = Terms { whole: true, issuer, keys_file: Some(keys_file), ..Terms::default() };
        Arc::new(Self::of(terms, keys, (self.revoked.clone(), self.fed.clone())))
    }

    /// A gate that opens to nobody.
    #[must_use]
    pub fn shut(&self) -> Arc<Self> {
        let terms = Terms { whole: true, ..Terms::default() };
        Arc::new(Self::of(terms, Keys::none(), (self.revoked.clone(), self.fed.clone())))
    }

    fn of(terms: Terms, keys: Keys, (revoked, fed): (Arc<Revoked>, Arc<AtomicBool>)) -> Self {
        Self {
            rules: terms.rules,
            whole: terms.whole,
            issuer: terms.issuer,
            keys: RwLock::new(Arc::new(keys)),
            stamp: Mutex::new(terms.keys_file.as_deref().and_then(stamp)),
            keys_file: terms.keys_file,
            known: Mutex::default(),
            revoked,
            fed,
            admitted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Reads the keys again if their file has changed, and whether it has; what cannot be read changes nothing.
    ///
    /// # Errors
    /// In words, with what to do.
    pub fn refresh(&self) -> Result<bool, String> {
        let Some(file) = &self.keys_file else { return Ok(false) };
        let now = stamp(file);
        let mut seen = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *seen, now) == now {
            return Ok(false);
        }
        let keys = Arc::new(read_keys(file)?);
        // Under one lock, so that nothing that an old key has proved is remembered afterwards.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        *known = Known::default();
        Ok(true)
    }

    /// Whether a stream asks for a token.
    #[must_use]
    pub fn guards(&self, stream: &StreamKey) -> bool {
        self.whole || self.rules.iter().any(|rule| rule.matches(stream))
    }

    /// Whether anything does.
    fn guards_any(&self) -> bool {
        self.whole || !self.rules.is_empty()
    }

    /// Lets a request over HTTP in. Its token is taken off its address. `None`: what it asks for is open to all.
    ///
    /// # Errors
    /// Why not.
    pub fn enter<B>(
        &self,
        request: &mut Request<B>,
        folded: Option<Shown>,
        (address, country): (IpAddr, Option<&str>),
        now_s: i64,
    ) -> Result<Option<Pass>, Denial> {
        if !self.guards_any() {
            return Ok(None);
        }
        let stream = stream_of(request.uri().path());
        if !self.whole && !stream.as_ref().is_some_and(|stream| self.guards(stream)) {
            return Ok(None);
        }
        let shown = folded.or_else(|| visit::take(request));
        let token = shown.as_ref().map(|shown| shown.token.as_str());
        let visit = visit::of_request(request, address, country);
        let claims = self.admit(token, &visit, stream.as_ref(), now_s)?;
        Ok(Some(Pass { claims, stream, shown }))
    }

    /// Lets another node in, by its token alone.
    ///
    /// # Errors
    /// Why not.
    pub fn node<B>(&self, request: &mut Request<B>, address: IpAddr, now_s: i64) -> Result<Pass, Denial> {
        let shown = visit::take(request);
        let token = shown.as_ref().map(|shown| shown.token.as_str());
        let claims = self.admit(token, &visit::of_request(request, address, None), None, now_s)?;
        if claims.is_node() { Ok(Pass { claims, stream: None, shown }) } else { Err(Denial::Foreign) }
    }

    /// Lets a player of a whole stream in, by a protocol that has no files. `None`: it is open to all.
    ///
    /// # Errors
    /// Why not.
    pub fn play(
        &self,
        stream: &StreamKey,
        token: Option<&str>,
        (scheme, address): (&str, IpAddr),
        now_s: i64,
    ) -> Result<Option<Pass>, Denial> {
        if !self.guards(stream) {
            return Ok(None);
        }
        let folder = format!("/{stream}/");
        let visit = Visit::of_stream(scheme, &folder, address);
        let claims = self.admit(token, &visit, Some(stream), now_s)?;
        Ok(Some(Pass { claims, stream: Some(stream.clone()), shown: None }))
    }

    fn admit(
        &self,
        token: Option<&str>,
        visit: &Visit<'_>,
        stream: Option<&StreamKey>,
        now_s: i64,
    ) -> Result<Arc<Claims>, Denial> {
        let decided = || {
            let claims = self.prove(token.filter(|t| !t.is_empty()).ok_or(Denial::Missing)?)?;
            let issued = self.issuer.as_ref().is_none_or(|issuer| claims.issuer.as_ref() == Some(issuer));
            if !issued
                || !(claims.audience.is_empty()
                    || claims.is_node()
                    || claims.audience.iter().any(|a| a == VIEWER))
            {
                return Err(Denial::Foreign);
            }
            claims.admit(visit, now_s)?;
            if !self.fed.load(Ordering::Acquire) {
                return Err(Denial::NotReady);
            }
            if self.revoked.has(&claims, stream.map(StreamKey::as_str)) {
                return Err(Denial::Revoked);
            }
            Ok(claims)
        };
        let decided = decided();
        let counter = if decided.is_ok() { &self.admitted } else { &self.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        decided
    }

    /// Whether who was let in may stay.
    #[must_use]
    pub fn holds(&self, pass: &Pass, now_s: i64) -> bool {
        now_s < pass.claims.expires_s
            && !self.revoked.has(&pass.claims, pass.stream.as_ref().map(StreamKey::as_str))
    }

    /// What a token says, proved.
    fn prove(&self, token: &str) -> Result<Arc<Claims>, Denial> {
        if token.len() > TOKEN_LEN_MAX {
            return Err(Denial::Malformed);
        }
        if let Some(claims) = self.known.lock().unwrap_or_else(PoisonError::into_inner).find(token) {
            return Ok(claims);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).map_err(|_| Denial::Malformed)?;
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        let claims = Arc::new(Claims::read(&cose::open(&bytes, &keys)?)?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&keys, &self.keys.read().unwrap_or_else(PoisonError::into_inner)) {
            known.put(token, claims.clone());
        }
        Ok(claims)
    }

    /// A token that says this and is let in here; `None` when no key of this gate can make one.
    #[must_use]
    pub fn make(&self, claims: Claims) -> Option<String> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        make(&Claims { issuer: self.issuer.clone(), ..claims }, keys.maker(None)?)
    }

    /// Takes tokens back that were made up to now. Waits for the disk.
    ///
    /// # Errors
    /// It was not written down.
    pub fn revoke(&self, what: What, now_s: i64) -> Result<Revocation, RevokeError> {
        self.revoked.revoke(what, now_s)
    }

    /// What was taken back here since a place in the list with this name.
    #[must_use]
    pub fn revocations(&self, log: &str, since: u64) -> Page {
        self.revoked.since(log, since)
    }

    /// Changes when something is taken back here.
    #[must_use]
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.revoked.newest()
    }

    /// Takes over what another node has taken back.
    pub fn learn(&self, page: &Page) {
        self.revoked.learn(&page.items);
        self.fed.store(true, Ordering::Release);
    }

    /// How many requests were let in and how many not, and how much is known to be taken back.
    #[must_use]
    pub fn figures(&self) -> (u64, u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.admitted), count(&self.refused), self.revoked.count() as u64)
    }
}

/// The audience of tokens that are for viewers, where they have one.
pub const VIEWER: &str = "viewer";

impl Known {
    fn find(&mut self, token: &str) -> Option<Arc<Claims>> {
        if let Some(claims) = self.young.get(token) {
            return Some(claims.clone());
        }
        let claims = self.old.get(token)?.clone();
        self.put(token, claims.clone());
        Some(claims)
    }

    fn put(&mut self, token: &str, claims: Arc<Claims>) {
        if self.young.len() >= KNOWN_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token.into(), claims);
    }
}

/// A token that says this, made with a key; `None` when that can only prove.
#[must_use]
pub fn make(claims: &Claims, key: &Key) -> Option<String> {
    Some(URL_SAFE_NO_PAD.encode(cose::seal(claims.write(), key)?))
}

/// Size and time of change of a file.
type Stamp = (u64, SystemTime);

fn stamp(file: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(file).ok()?;
    Some((meta.len(), meta.modified().ok()?))
}

/// The keys in a file.
///
/// # Errors
/// In words, with what to do.
pub fn read_keys(file: &Path) -> Result<Keys, String> {
    let text = std::fs::read_to_string(file)
        .map(zeroize::Zeroizing::new)
        .map_err(|e| format!("{} cannot be read: {e}; make keys with: nexus token keys", file.display()))?;
    Keys::parse(&text).map_err(|e| format!("{} {e}", file.display()))
}
