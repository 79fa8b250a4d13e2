//! From text to a network: every mistake at once.

use nx_settings::{Fault, Kind, fit};
use serde_json::Value;

use crate::check;
use crate::network::Network;

impl Network {
    /// Reads TOML.
    ///
    /// # Errors
    /// Every mistake, in the order of the lines.
    pub fn from_toml(text: &str) -> Result<Self, Vec<Fault>> {
        let (value, lines) = nx_settings::toml(text).map_err(|fault| vec![fault])?;
        Self::from_value(value).map_err(|mut faults| {
            faults.iter_mut().for_each(|fault| fault.line = lines.of(&fault.key));
            faults.sort_by_key(|fault| fault.line);
            faults
        })
    }

    /// Reads JSON of the same shape.
    ///
    /// # Errors
    /// Every mistake.
    pub fn from_json(text: &str) -> Result<Self, Vec<Fault>> {
        Self::from_value(nx_settings::json(text).map_err(|fault| vec![fault])?)
    }

    fn from_value(value: Value) -> Result<Self, Vec<Fault>> {
        let mut fitted = fit::<Self>(value);
        let Some(network) = fitted.value else { return Err(fitted.faults) };
        // What was taken out would be missed without need.
        let needless = |fault: &Fault| matches!(fault.kind, Kind::Reference | Kind::Conflict);
        let partial = !fitted.faults.is_empty();
        let further = check::check(&network).into_iter().filter(|fault| !(partial && needless(fault)));
        let original = |fault: Fault| Fault { key: fitted.taken.original(&fault.key), ..fault };
        fitted.faults.extend(further.map(original));
        if fitted.faults.is_empty() { Ok(network) } else { Err(fitted.faults) }
    }

    /// As TOML, as one would write it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }
}
