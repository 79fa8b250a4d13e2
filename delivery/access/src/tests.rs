//! Tokens as they are shown, altered, and shown where they are not for.

mod gate;
mod tokens;
mod vectors;

use crate::{Algorithm, Claims, Keys, generate};

/// 2026-01-01.
const NOW_S: i64 = 1_767_225_600;

fn keys(id: &str, algorithm: Algorithm) -> (Keys, Keys) {
    let (private, public) = generate(id, algorithm).unwrap();
    (Keys::parse(&private).unwrap(), Keys::parse(&public).unwrap())
}

fn claims() -> Claims {
    Claims {
        subject: Some("alice".into()),
        expires_s: NOW_S + 60,
        issued_s: Some(NOW_S),
        id: vec![0xab, 0xcd],
        ..Claims::default()
    }
}
