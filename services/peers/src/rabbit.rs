//! RabbitMQ.

use std::process::Command;

use crate::home::{Home, Running, port, program, random};

/// A broker at work: a node of its own, with a name server of its own (epmd).
#[derive(Debug)]
pub struct Rabbit {
    running: Option<Running>,
    home: Home,
    port: u16,
    names: u16,
    node: String,
}

impl Rabbit {
    /// Starts one; that takes ten seconds or more.
    ///
    /// # Panics
    /// With what to install, when it is not there.
    #[must_use]
    pub fn start() -> Self {
        let node = format!("t{}@localhost", random());
        let mut server = Self { running: None, home: Home::new("rabbit"), port: port(), names: port(), node };
        server.revive();
        server
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://127.0.0.1:{}", self.port)
    }

    /// Kills the broker; what it has confirmed is on disk.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Starts it again with what it had.
    ///
    /// # Panics
    /// When it does not start.
    pub fn revive(&mut self) {
        // The program, not the wrapper in sbin, which is for the package's user.
        let candidates = ["/usr/lib/rabbitmq/bin/rabbitmq-server"];
        let mut command = self.home.command(&program(&candidates, "RabbitMQ"));
        std::fs::write(self.home.path().join("plugins"), "[].").expect("a file");
        let loopback = "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none";
        command
            .env("RABBITMQ_NODENAME", &self.node)
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", port().to_string())
            .env("RABBITMQ_MNESIA_BASE", self.home.file("data"))
            .env("RABBITMQ_LOG_BASE", self.home.file("log"))
            .env("RABBITMQ_CONFIG_FILE", self.home.file("none"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.home.file("plugins"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", loopback)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_RELAXED_COMMAND_CHECK", "1")
            .env("ERL_EPMD_PORT", self.names.to_string());
        self.running = Some(self.home.start(command, "completed with"));
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        self.kill();
        // Its name server has left the group of processes.
        let stop = ["-kill"];
        let _ = Command::new("epmd").args(stop).env("ERL_EPMD_PORT", self.names.to_string()).output();
    }
}
