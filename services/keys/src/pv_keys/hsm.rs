//! Keys in hardware, through PKCS #11 (2.40 and later).
//!
//! A session of PKCS #11 does one thing at a time, and a library has one state for the whole process. So one thread has library
//! and session, and all work stands in a bounded queue before it. A session that was lost is opened anew, once for each piece
//! of work; a key is found by its id each time, since handles hold no longer than sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use aws_lc_rs::aead::NONCE_LEN;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use nx_contract::hardware::Pkcs11 as Config;
use zeroize::Zeroizing;

use super::slot::Library;
use crate::crypto::{Fault, Kind};

/// Pieces of work that wait for the hardware; further ones are told to come again.
const WAITING_MAX: usize = 64;
/// Longest wait for one.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Bits of the tag of AES-GCM.
const TAG_BITS: u64 = 128;

/// A piece of work: gets a session, or why there is none, and says whether that was lost on the way.
type Task = Box<dyn FnMut(Result<&Session, &str>) -> bool + Send>;

/// A token of PKCS #11. Cheap to clone; its thread ends with the last one.
#[derive(Debug, Clone)]
pub(super) struct Hsm(SyncSender<Task>);

impl Hsm {
    /// Nothing is opened before the first use: hardware that is away keeps nobody from starting.
    ///
    /// # Errors
    /// When there is no thread.
    pub(super) fn new(config: Config) -> std::io::Result<Self> {
        let (sender, tasks) = sync_channel(WAITING_MAX);
        std::thread::Builder::new()
            .name("pkcs11".into())
            .spawn(move || serve(Library::new(config), &tasks))?;
        Ok(Self(sender))
    }

    /// Has the thread do something. Where a session was lost it is done once more.
    fn run<T: Send + 'static>(
        &self,
        work: impl Fn(&Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Refused> {
        let (done, answer) = sync_channel(1);
        let gone = Arc::new(AtomicBool::new(false));
        let has_gone = gone.clone();
        let task: Task = Box::new(move |session| {
            // Nobody waits for it any more: what is not begun is not done.
            if has_gone.load(Ordering::Relaxed) {
                return false;
            }
            let made = match session.map(&work) {
                Ok(Err(error)) if is_lost(&error) => return true,
                Ok(made) => made.map_err(|error| match error {
                    Error::InvalidValue => Refused::Answered("there is no such key".into()),
                    Error::NotSupported
                    | Error::Pkcs11(RvError::MechanismInvalid | RvError::MechanismParamInvalid, _) => {
                        Refused::NotBuilt
                    }
                    error => Refused::Answered(error.to_string()),
                }),
                Err(why) => Err(Refused::Away(why.to_owned())),
            };
            // Whoever asked may have given up.
            let _ = done.try_send(made);
            false
        });
        let away = |why: &str| Refused::Away(why.to_owned());
        self.0.try_send(task).map_err(|error| match error {
            TrySendError::Full(_) => away("too much waits for it"),
            TrySendError::Disconnected(_) => away("its thread has ended: start pv-keys again"),
        })?;
        answer.recv_timeout(ANSWER_MAX).unwrap_or_else(|error| {
            gone.store(true, Ordering::Relaxed);
            Err(away(match error {
                RecvTimeoutError::Timeout => "it takes too long",
                RecvTimeoutError::Disconnected => "its session was lost twice",
            }))
        })
    }

    /// Makes a key under an id; its public half as X.509 has it, nothing of a symmetric one.
    pub(super) fn generate(&self, kind: Kind, id: &str, name: &str) -> Result<Vec<u8>, Fault> {
        let (id, label) = (id.to_owned(), format!("nexus {name}"));
        Ok(self.run(move |session| generate(session, kind, &id, &label))?)
    }

    /// Signs: a digest with ECDSA, which gives both numbers behind each other; the input itself with Ed25519.
    pub(super) fn sign(&self, kind: Kind, id: &str, input: Vec<u8>) -> Result<Vec<u8>, Fault> {
        let id = id.to_owned();
        Ok(self.run(move |session| {
            let pure = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
            let how = if kind == Kind::Ed25519 { pure } else { Mechanism::Ecdsa };
            session.sign(&how, private(session, &id)?, &input)
        })?)
    }

    /// Encrypts under this nonce, or one that the hardware has put in its place: `nonce | ciphertext | tag`.
    pub(super) fn seal(
        &self,
        id: &str,
        nonce: [u8; NONCE_LEN],
        plain: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, Fault> {
        let (id, plain, aad) = (id.to_owned(), Zeroizing::new(plain.to_vec()), aad.to_vec());
        Ok(self.run(move |session| {
            let mut nonce = nonce;
            let how = Mechanism::AesGcm(GcmParams::new(&mut nonce, &aad, TAG_BITS.into())?);
            let sealed = session.encrypt(&how, secret(session, &id)?, &plain)?;
            drop(how);
            Ok([&nonce[..], &sealed].concat())
        })?)
    }

    /// Decrypts what [`Hsm::seal`] has made.
    ///
    /// # Errors
    /// [`Fault::Foreign`] for what hardware says of data that was altered: libraries say it in different ways.
    pub(super) fn open(
        &self,
        id: &str,
        nonce: [u8; NONCE_LEN],
        sealed: &[u8],
        aad: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let (id, sealed, aad) = (id.to_owned(), sealed.to_vec(), aad.to_vec());
        let opened = self.run(move |session| {
            let mut nonce = nonce;
            let how = Mechanism::AesGcm(GcmParams::new(&mut nonce, &aad, TAG_BITS.into())?);
            let key = secret(session, &id)?;
            match session.decrypt(&how, key, &sealed) {
                Err(error) if is_foreign(&error) => Ok(None),
                opened => opened.map(|plain| Some(Zeroizing::new(plain))),
            }
        })?;
        opened.ok_or(Fault::Foreign)
    }

    /// Deletes everything under an id, if there is something.
    pub(super) fn destroy(&self, id: &str) -> Result<(), Fault> {
        let id = id.to_owned();
        Ok(self.run(move |session| destroy(session, &id))?)
    }
}

/// Why there is no answer, or which.
enum Refused {
    Away(String),
    Answered(String),
    /// It knows no such keys.
    NotBuilt,
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        // What it says is for who looks after it.
        match refused {
            Refused::Away(why) => tracing::warn!(why, "the hardware that holds keys is away"),
            Refused::Answered(why) => tracing::warn!(why, "the hardware that holds keys refuses"),
            Refused::NotBuilt => {
                return Self::NotBuilt("the hardware that holds the keys has none of this type".into());
            }
        }
        Self::Away("the hardware that holds the keys is away, or refuses: the log of pv-keys says why".into())
    }
}

/// Whether it is the data that was wrong.
fn is_foreign(error: &Error) -> bool {
    let Error::Pkcs11(error, _) = error else { return false };
    matches!(
        error,
        RvError::EncryptedDataInvalid
            | RvError::EncryptedDataLenRange
            | RvError::GeneralError
            | RvError::FunctionFailed
    )
}

/// Whether nothing was done because the session is no more.
fn is_lost(error: &Error) -> bool {
    let Error::Pkcs11(error, _) = error else { return false };
    matches!(
        error,
        RvError::SessionHandleInvalid
            | RvError::SessionClosed
            | RvError::UserNotLoggedIn
            | RvError::DeviceRemoved
            | RvError::TokenNotPresent
            | RvError::CryptokiNotInitialized
            | RvError::OperationActive
            | RvError::DeviceError
    )
}

fn serve(mut library: Library, tasks: &Receiver<Task>) {
    while let Ok(mut task) = tasks.recv() {
        for _ in 0..2 {
            let lost = match library.session() {
                Ok(session) => task(Ok(session)),
                Err(why) => task(Err(&why)),
            };
            if !lost {
                break;
            }
            library.close();
        }
    }
}

/// How PKCS #11 names a curve (`CKA_EC_PARAMS`): its object identifier, or what it is called.
fn curve(kind: Kind) -> Result<&'static [u8], Error> {
    match kind {
        Kind::P256 => Ok(&[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]),
        Kind::P384 => Ok(&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22]),
        Kind::Ed25519 => Ok(b"\x13\x0cedwards25519"),
        _ => Err(Error::NotSupported),
    }
}

fn generate(session: &Session, kind: Kind, id: &str, label: &str) -> Result<Vec<u8>, Error> {
    // Of a try that was lost on the way.
    destroy(session, id)?;
    let both = [
        Attribute::Id(id.as_bytes().to_vec()),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Token(true),
    ];
    // None of it ever leaves, whoever asks.
    let kept = [Attribute::Private(true), Attribute::Sensitive(true), Attribute::Extractable(false)];
    if let Some(length) = kind.symmetric_bytes() {
        let use_for =
            [Attribute::Encrypt(true), Attribute::Decrypt(true), Attribute::ValueLen((length as u64).into())];
        session.generate_key(&Mechanism::AesKeyGen, &[&both[..], &kept, &use_for].concat())?;
        return Ok(Vec::new());
    }
    let parameters = [Attribute::EcParams(curve(kind)?.to_vec()), Attribute::Verify(true)];
    let how = if kind == Kind::Ed25519 { Mechanism::EccEdwardsKeyPairGen } else { Mechanism::EccKeyPairGen };
    let (public, _) = session.generate_key_pair(
        &how,
        &[&both[..], &parameters].concat(),
        &[&both[..], &kept, &[Attribute::Sign(true)]].concat(),
    )?;
    let point = session.get_attributes(public, &[AttributeType::EcPoint])?;
    let length = super::private::point_bytes(kind);
    point
        .into_iter()
        .find_map(|attribute| match attribute {
            // In an OCTET STRING, or not, depending on the library.
            Attribute::EcPoint(point) => Some(point[point.len().checked_sub(length)?..].to_vec()),
            _ => None,
        })
        .ok_or(Error::InvalidValue)
}

fn destroy(session: &Session, id: &str) -> Result<(), Error> {
    let found = session.find_objects(&[Attribute::Id(id.as_bytes().to_vec())])?;
    found.into_iter().try_for_each(|object| session.destroy_object(object))
}

fn find(session: &Session, class: ObjectClass, id: &str) -> Result<ObjectHandle, Error> {
    let found = session.find_objects(&[Attribute::Class(class), Attribute::Id(id.as_bytes().to_vec())])?;
    found.into_iter().next().ok_or(Error::InvalidValue)
}

fn private(session: &Session, id: &str) -> Result<ObjectHandle, Error> {
    find(session, ObjectClass::PRIVATE_KEY, id)
}

fn secret(session: &Session, id: &str) -> Result<ObjectHandle, Error> {
    find(session, ObjectClass::SECRET_KEY, id)
}
