//! Manifests as text, and what is read from them.
