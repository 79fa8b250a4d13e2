//! The gate that every door of a node asks.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, Request, header};
use nx_media::{MEMBERS, StreamKey, StreamPattern};
use tokio::sync::watch;

use crate::claims::{Claims, NODE};
use crate::cose;
use crate::denial::Denial;
use crate::keys::{Key, Keys};
use crate::revoked::{Page, Revocation, RevokeError, Revoked, What};
use crate::visit::{self, HEADER, Shown, Visit, Way, stream_of};

/// Longest token, characters.
const TOKEN_LEN_MAX: usize = 2048;
/// Tokens that are remembered as proved, in each of two generations.
const KNOWN_MAX: usize = 1 << 13;

/// What opens and what is behind it.
pub struct Gate {
    rules: Vec<StreamPattern>,
    /// Whatever is asked for is behind it.
    whole: bool,
    issuer: Option<String>,
    keys: RwLock<Arc<Keys>>,
    /// How often they were changed.
    turns: AtomicU64,
    keys_file: Option<PathBuf>,
    stamps: Mutex<Stamps>,
    known: Mutex<Known>,
    shared: Arc<Shared>,
}

/// What all gates of a node have in common.
struct Shared {
    revoked: Revoked,
    /// Other nodes of which it is not known yet what they have taken back.
    unheard: AtomicUsize,
    admitted: AtomicU64,
    refused: AtomicU64,
}

/// Of the file of keys, as it was read last, and as it could not be read.
#[derive(Default)]
struct Stamps {
    read: Option<Stamp>,
    failed: Option<Option<Stamp>>,
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
    young: HashMap<Digest, Arc<Claims>>,
    old: HashMap<Digest, Arc<Claims>>,
}

/// SHA-256 of a token.
type Digest = [u8; 32];

/// Somebody was let in.
#[derive(Debug, Clone)]
pub struct Pass {
    /// What the token says.
    pub claims: Arc<Claims>,
    /// What it was shown for.
    pub stream: Option<StreamKey>,
    shown: Shown,
    /// Of the keys that proved it.
    turn: u64,
}

impl Pass {
    /// Whether another node was let in, which shares what it gets with those whom it lets in.
    #[must_use]
    pub fn is_node(&self) -> bool {
        self.claims.is_node()
    }

    /// Names the token among all by its issuer and number, or by itself if it has none; the same on every node.
    #[must_use]
    pub fn mark(&self) -> (u64, u64) {
        let issuer = self.claims.issuer.as_deref().unwrap_or_default();
        match self.claims.id.as_slice() {
            [] => mark(&[self.shown.token.as_bytes()]),
            id => mark(&[issuer.as_bytes(), id]),
        }
    }

    /// Makes an answer one viewer's: no shared cache may keep it. A playlist whose address had the token in its query gives
    /// it a cookie, with which the rest can be asked for.
    pub fn dress(&self, headers: &mut HeaderMap, list: bool, now_s: i64) {
        if self.is_node() {
            return;
        }
        visit::keep_private(headers);
        let query = Some(&self.shown).filter(|shown| shown.way == Way::Query && list);
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
    /// Which streams ask for a token, beside those for members.
    pub rules: Vec<StreamPattern>,
    /// Or everything does.
    pub whole: bool,
    /// Who must have made it.
    pub issuer: Option<String>,
    /// Where the keys are.
    pub keys_file: Option<PathBuf>,
    /// Where what is taken back here is written down.
    pub revoked_file: Option<PathBuf>,
    /// So many other nodes take tokens back too: nobody is let in before it is known which.
    pub others: usize,
}

impl Gate {
    /// Reads the keys, and what was taken back.
    ///
    /// # Errors
    /// In words, with what to do.
    pub fn open(terms: Terms) -> Result<Arc<Self>, String> {
        let seen = terms.keys_file.as_deref().and_then(stamp);
        let keys = terms.keys_file.as_deref().map(read_keys).transpose()?.unwrap_or_else(Keys::none);
        let revoked = Revoked::open(terms.revoked_file.clone())
            .map_err(|e| format!("what was taken back cannot be read: {e}"))?;
        let shared = Shared {
            revoked,
            unheard: AtomicUsize::new(terms.others),
            admitted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        };
        Ok(Arc::new(Self::of(terms, (keys, seen), Arc::new(shared))))
    }

    /// A gate in front of everything, by other keys, that knows what this one knows to be taken back. Keys that cannot be
    /// read open nothing until they can.
    #[must_use]
    pub fn whole(&self, keys_file: PathBuf, issuer: Option<String>) -> Arc<Self> {
        let seen = stamp(&keys_file);
        let keys = read_keys(&keys_file).map(|keys| (keys, seen)).unwrap_or_else(|error| {
            tracing::error!(error, "nobody is let in by these keys");
            (Keys::none(), None)
        });
        let terms = Terms { whole: true, issuer, keys_file: Some(keys_file), ..Terms::default() };
        Arc::new(Self::of(terms, keys, self.shared.clone()))
    }

    /// A gate that opens to nobody.
    #[must_use]
    pub fn shut(&self) -> Arc<Self> {
        let terms = Terms { whole: true, ..Terms::default() };
        Arc::new(Self::of(terms, (Keys::none(), None), self.shared.clone()))
    }

    fn of(terms: Terms, (keys, read): (Keys, Option<Stamp>), shared: Arc<Shared>) -> Self {
        Self {
            rules: terms.rules,
            whole: terms.whole,
            issuer: terms.issuer,
            keys: RwLock::new(Arc::new(keys)),
            turns: AtomicU64::new(0),
            stamps: Mutex::new(Stamps { read, failed: None }),
            keys_file: terms.keys_file,
            known: Mutex::default(),
            shared,
        }
    }

    /// Whether its keys are those of a file.
    #[must_use]
    pub fn has_file(&self) -> bool {
        self.keys_file.is_some()
    }

    /// Whether it is a gate of these keys and this maker.
    #[must_use]
    pub fn is_of(&self, keys_file: &Path, issuer: Option<&str>) -> bool {
        self.keys_file.as_deref() == Some(keys_file) && self.issuer.as_deref() == issuer
    }

    /// Reads the keys again if their file has changed, and whether they have; what cannot be read changes nothing, and is
    /// said once. Waits for the disk.
    ///
    /// # Errors
    /// In words, with what to do.
    pub fn refresh(&self) -> Result<bool, String> {
        let Some(file) = &self.keys_file else { return Ok(false) };
        let now = stamp(file);
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        if stamps.read == now {
            return Ok(false);
        }
        let keys = match read_keys(file) {
            Ok(keys) => Arc::new(keys),
            Err(_) if stamps.failed == Some(now) => return Ok(false),
            Err(error) => {
                stamps.failed = Some(now);
                return Err(error);
            }
        };
        *stamps = Stamps { read: now, failed: None };
        // Under one lock, so that nothing that an old key has proved is remembered afterwards.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        *known = Known::default();
        self.turns.fetch_add(1, Ordering::AcqRel);
        Ok(true)
    }

    /// Whether a stream asks for a token.
    #[must_use]
    pub fn guards(&self, stream: &StreamKey) -> bool {
        self.whole || stream.is_for_members() || self.rules.iter().any(|rule| rule.matches(stream))
    }

    /// Whether anything behind a path can ask for a token: without rules of its own a gate has nothing to read in most.
    fn may_guard(&self, path: &str) -> bool {
        self.whole || !self.rules.is_empty() || path.split('/').nth(1) == Some(MEMBERS)
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
        if !self.may_guard(request.uri().path()) {
            return Ok(None);
        }
        let stream = stream_of(request.uri().path());
        if !self.whole && !stream.as_ref().is_some_and(|stream| self.guards(stream)) {
            return Ok(None);
        }
        // Whichever counts, none stays in the address.
        let taken = visit::take(request);
        let visit = visit::of_request(request, address, country);
        let pass = self.admit(folded.or(taken), &visit, stream, now_s)?;
        self.is_ready().map(|()| Some(pass))
    }

    /// Lets another node in, by its token alone.
    ///
    /// # Errors
    /// Why not.
    pub fn node<B>(&self, request: &mut Request<B>, address: IpAddr, now_s: i64) -> Result<Pass, Denial> {
        let shown = visit::take(request);
        let pass = self.admit(shown, &visit::of_request(request, address, None), None, now_s)?;
        if pass.is_node() { Ok(pass) } else { Err(Denial::Foreign) }
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
        let shown = token.map(|token| Shown { token: token.to_owned(), way: Way::Query });
        let pass = self.admit(shown, &visit, Some(stream.clone()), now_s)?;
        // Nodes do not come this way.
        if pass.is_node() {
            return Err(Denial::Foreign);
        }
        self.is_ready().map(|()| Some(pass))
    }

    fn admit(
        &self,
        shown: Option<Shown>,
        visit: &Visit<'_>,
        stream: Option<StreamKey>,
        now_s: i64,
    ) -> Result<Pass, Denial> {
        let decided = || {
            let shown = shown.filter(|shown| !shown.token.is_empty()).ok_or(Denial::Missing)?;
            let turn = self.turns.load(Ordering::Acquire);
            let claims = self.prove(&shown.token)?;
            let issued = self.issuer.as_ref().is_none_or(|issuer| claims.issuer.as_ref() == Some(issuer));
            let meant =
                claims.audience.is_empty() || claims.audience.iter().any(|a| a == VIEWER || a == NODE);
            if !issued || !meant {
                return Err(Denial::Foreign);
            }
            claims.admit(visit, now_s)?;
            if self.shared.revoked.has(&claims, stream.as_ref().map(StreamKey::as_str)) {
                return Err(Denial::Revoked);
            }
            Ok(Pass { claims, stream, shown, turn })
        };
        let decided = decided();
        let counter = if decided.is_ok() { &self.shared.admitted } else { &self.shared.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        decided
    }

    /// What the others have taken back is known. Nodes that ask for that do not wait for it: two may ask each other.
    fn is_ready(&self) -> Result<(), Denial> {
        if self.shared.unheard.load(Ordering::Acquire) == 0 { Ok(()) } else { Err(Denial::NotReady) }
    }

    /// Whether who was let in may stay.
    #[must_use]
    pub fn holds(&self, pass: &Pass, now_s: i64) -> bool {
        now_s < pass.claims.expires_s
            && !self.shared.revoked.has(&pass.claims, pass.stream.as_ref().map(StreamKey::as_str))
            && (pass.turn == self.turns.load(Ordering::Acquire) || self.prove(&pass.shown.token).is_ok())
    }

    /// What a token says, proved.
    fn prove(&self, token: &str) -> Result<Arc<Claims>, Denial> {
        if token.len() > TOKEN_LEN_MAX {
            return Err(Denial::Malformed);
        }
        let digest = digest(token);
        if let Some(claims) = self.known.lock().unwrap_or_else(PoisonError::into_inner).find(digest) {
            return Ok(claims);
        }
        let bare = token.strip_suffix("==").or(token.strip_suffix('=')).unwrap_or(token);
        let bytes = URL_SAFE_NO_PAD.decode(bare).map_err(|_| Denial::Malformed)?;
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        let claims = Arc::new(Claims::read(&cose::open(&bytes, &keys)?)?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&keys, &self.keys.read().unwrap_or_else(PoisonError::into_inner)) {
            known.put(digest, claims.clone());
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
        self.revoke_until(what, None, now_s)
    }

    /// The same where none of the tokens holds after `until_s`, Unix seconds: that is remembered for as long.
    ///
    /// # Errors
    /// It was not written down.
    pub fn revoke_until(
        &self,
        what: What,
        until_s: Option<i64>,
        now_s: i64,
    ) -> Result<Revocation, RevokeError> {
        self.shared.revoked.revoke(what, until_s, now_s)
    }

    /// What was taken back here since a place in the list with this name, `limit` of it.
    #[must_use]
    pub fn revocations(&self, log: &str, since: u64, limit: usize) -> Page {
        self.shared.revoked.since(log, since, limit)
    }

    /// Changes when something is taken back here.
    #[must_use]
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.shared.revoked.newest()
    }

    /// Takes over what another node has taken back.
    pub fn learn(&self, page: &Page) {
        self.shared.revoked.learn(&page.items);
    }

    /// One more of the other nodes is known.
    pub fn heard(&self) {
        let less = |unheard: usize| Some(unheard.saturating_sub(1));
        let _ = self.shared.unheard.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }

    /// How many requests were let in and how many not, and how much is known to be taken back.
    #[must_use]
    pub fn figures(&self) -> (u64, u64, u64) {
        let Shared { revoked, admitted, refused, .. } = &*self.shared;
        (admitted.load(Ordering::Relaxed), refused.load(Ordering::Relaxed), revoked.count() as u64)
    }
}

/// The audience of tokens that are for viewers, where they have one.
pub const VIEWER: &str = "viewer";

impl Known {
    fn find(&mut self, token: Digest) -> Option<Arc<Claims>> {
        if let Some(claims) = self.young.get(&token) {
            return Some(claims.clone());
        }
        let claims = self.old.get(&token)?.clone();
        self.put(token, claims.clone());
        Some(claims)
    }

    fn put(&mut self, token: Digest, claims: Arc<Claims>) {
        if self.young.len() >= KNOWN_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token, claims);
    }
}

fn digest(token: &str) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    digest
}

/// A short name for what these are together, the same on every node: SHA-256, cut off.
#[must_use]
pub fn mark(parts: &[&[u8]]) -> (u64, u64) {
    let mut whole = digest::Context::new(&digest::SHA256);
    for part in parts {
        whole.update(&(part.len() as u64).to_be_bytes());
        whole.update(part);
    }
    let bytes = whole.finish();
    let number = |at: usize| bytes.as_ref().get(at..).and_then(|rest| rest.first_chunk()).copied();
    let [high, low] = [0, 8].map(|at| u64::from_be_bytes(number(at).unwrap_or_default()));
    (high, low)
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
