//! The library of PKCS #11, the token in one of its slots, and a session with it.

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use nx_contract::hardware::Pkcs11 as Config;

/// What leads to a session, as far as it is open.
pub(super) struct Library {
    config: Config,
    // In front of the library, which must be there until it has ended.
    session: Option<Session>,
    loaded: Option<Pkcs11>,
}

impl Library {
    pub(super) fn new(config: Config) -> Self {
        Self { config, session: None, loaded: None }
    }

    /// The session, opened if there is none.
    ///
    /// # Errors
    /// In words, with what to do.
    pub(super) fn session(&mut self) -> Result<&Session, String> {
        match self.session.take() {
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
        let library = match self.loaded.take() {
            Some(loaded) => self.loaded.insert(loaded),
            None => {
                let told = |error| format!("gateway.keys.pkcs11.module {}: {error}", module.display());
                self.loaded.insert(load(module).map_err(told)?)
            }
        };
        let slots = library.get_slots_with_initialized_token().map_err(|error| error.to_string())?;
        let named = |slot: &_| {
            library.get_token_info(*slot).is_ok_and(|info| info.label().trim_end() == token.as_str())
        };
        let slot = slots.into_iter().find(named);
        let slot = slot.ok_or_else(|| format!("gateway.keys.pkcs11.token: no token is called {token}"))?;
        let told = |error: &dyn std::fmt::Display| {
            format!("gateway.keys.pkcs11.pin_file {}: {error}", pin_file.display())
        };
        let pin = std::fs::read_to_string(pin_file).map_err(|error| told(&error))?;
        let session = library.open_rw_session(slot).map_err(|error| error.to_string())?;
        match session.login(UserType::User, Some(&AuthPin::new(pin.trim().into()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => Err(told(&error)),
        }
    }
}

fn load(module: &std::path::Path) -> Result<Pkcs11, Error> {
    let library = Pkcs11::new(module)?;
    match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // Somebody else in this process uses it too.
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(library),
        Err(error) => Err(error),
    }
}
