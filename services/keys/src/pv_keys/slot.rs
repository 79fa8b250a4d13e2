//! The library of PKCS #11, the token in one of its slots, and a session with it.

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::types::AuthPin;
use nx_contract::hardware::Pkcs11 as Config;
use zeroize::Zeroizing;

/// What leads to a session, as far as it is open.
pub(super) struct Library {
    config: Config,
    // In front of the library, which must be there until it has ended.
    session: Option<Session>,
    loaded: Option<Pkcs11>,
    /// A PIN that the token has refused: it takes few wrong ones before it locks itself.
    refused: Option<Zeroizing<String>>,
}

impl Library {
    pub(super) fn new(config: Config) -> Self {
        Self { config, session: None, loaded: None, refused: None }
    }

    /// The session, opened if there is none.
    ///
    /// # Errors
    /// In words, with what to do.
    pub(super) fn session(&mut self) -> Result<&Session, String> {
        // One that is not signed in any more finds no keys, and says nothing of that.
        let is_ours = |open: &Session| {
            open.get_session_info().is_ok_and(|info| matches!(info.session_state(), SessionState::RwUser))
        };
        match self.session.take().filter(is_ours) {
            Some(open) => Ok(self.session.insert(open)),
            None => {
                let open = self.open()?;
                Ok(self.session.insert(open))
            }
        }
    }

    /// Forgets a session that was lost.
    pub(super) fn close(&mut self) {
        self.session = None;
    }

    fn open(&mut self) -> Result<Session, String> {
        let Config { module, token, pin_file } = &self.config;
        let told = |error| format!("gateway.keys.pkcs11.module {}: {error}", module.display());
        let library = match self.loaded.take() {
            Some(loaded) => loaded,
            None => Pkcs11::new(module).map_err(told)?,
        };
        let library = self.loaded.insert(library);
        match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // By us, or by somebody else in this process.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(told(error)),
        }
        let slots = library.get_slots_with_token().map_err(|error| error.to_string())?;
        let named = |slot: &_| {
            library.get_token_info(*slot).is_ok_and(|info| info.label().trim_end() == token.as_str())
        };
        let slot = slots.into_iter().find(named);
        let slot = slot.ok_or_else(|| format!("gateway.keys.pkcs11.token: no token is called {token}"))?;
        let told = |error: &dyn std::fmt::Display| {
            format!("gateway.keys.pkcs11.pin_file {}: {error}", pin_file.display())
        };
        let pin = Zeroizing::new(std::fs::read_to_string(pin_file).map_err(|error| told(&error))?);
        if self.refused.as_ref() == Some(&pin) {
            return Err(told(&"the token has refused this PIN; put the right one there"));
        }
        let session = library.open_rw_session(slot).map_err(|error| error.to_string())?;
        match session.login(UserType::User, Some(&AuthPin::new(pin.trim().into()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => {
                if matches!(
                    error,
                    Error::Pkcs11(RvError::PinIncorrect | RvError::PinLocked | RvError::PinExpired, _)
                ) {
                    self.refused = Some(pin);
                }
                Err(told(&error))
            }
        }
    }
}
