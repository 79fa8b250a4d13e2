//! Threads that stand behind those of streams: a crowd at a service is nothing that viewers feel.

use tokio::runtime::{Builder, Handle, Runtime};

/// Threads of their own, or none: then those of the caller do. They end by themselves, since who drops them may be a task
/// that must not wait.
#[derive(Debug, Default)]
pub struct Threads(Option<Runtime>);

impl Threads {
    /// So many called `name`, and so many more at most for what blocks.
    ///
    /// # Errors
    /// In words: the system gives none.
    pub fn start(name: &str, (workers, blocking): (usize, usize)) -> Result<Self, String> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(workers).max_blocking_threads(blocking).thread_name(name).enable_all();
        #[cfg(target_os = "linux")] // Elsewhere it is the priority of the whole process.
        builder.on_thread_start(|| _ = rustix::process::setpriority_process(None, 10));
        let runtime = builder.build().map_err(|e| format!("cannot start a thread for {name}: {e}"))?;
        Ok(Self(Some(runtime)))
    }

    /// To have something run there.
    ///
    /// # Panics
    /// Outside of any runtime, if there are none.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(Runtime::shutdown_background);
    }
}
