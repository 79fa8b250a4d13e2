//! Redis.

use crate::home::{Home, Running, port, program};

/// A server at work, which keeps nothing on disk.
#[derive(Debug)]
pub struct Redis {
    // Stopped before its folder goes.
    _running: Running,
    _home: Home,
    port: u16,
}

impl Redis {
    /// Starts one.
    ///
    /// # Panics
    /// With what to install, when it is not there.
    #[must_use]
    pub fn start() -> Self {
        let (home, port) = (Home::new("redis"), port());
        let mut command = home.command(&program(&["/usr/bin/redis-server"], "Redis"));
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.arg("--dir").arg(home.path());
        let running = home.start(command, "Ready to accept connections");
        Self { _running: running, _home: home, port }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}
