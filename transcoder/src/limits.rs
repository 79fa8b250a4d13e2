//! What the process may have.

use std::io;

use rustix::process::{Resource, Rlimit, setpriority_process, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Address space: libav's libraries take a quarter of it, the pictures of an 8K decoder as much again.
const MEMORY_BYTES: u64 = 2 << 30;
/// Of a ladder: encoders of 4K keep dozens of pictures, and each of their threads has a stack.
const LADDER_BYTES: u64 = 12 << 30;
/// CPU time for one request, seconds: of all threads, with what they still have from requests before. The server's
/// patience with the clock on the wall is shorter.
const REQUEST_S: u64 = 60;
/// A ladder keeps pace with its stream, but behind who takes the stream in; pictures have time.
const NICENESS: i32 = 4;
const NICENESS_OF_PICTURES: i32 = 10;

/// No files, no sockets, bounded memory, behind the server. Before anything is read. With `hardware` it may open
/// what is to be opened.
pub(crate) fn confine(hardware: bool) -> io::Result<()> {
    let exactly = |n: u64| Rlimit { current: Some(n), maximum: Some(n) };
    setpriority_process(None, NICENESS)?;
    setrlimit(Resource::As, Rlimit { current: Some(MEMORY_BYTES), maximum: Some(LADDER_BYTES) })?;
    setrlimit(Resource::Core, exactly(0))?;
    setrlimit(Resource::Fsize, exactly(0))?;
    if !hardware {
        // What is open stays open.
        setrlimit(Resource::Nofile, exactly(0))?;
    }
    Ok(())
}

/// Behind everybody else.
pub(crate) fn step_back() -> io::Result<()> {
    Ok(setpriority_process(None, NICENESS_OF_PICTURES)?)
}

/// The memory that a ladder may have.
pub(crate) fn make_room() -> io::Result<()> {
    Ok(setrlimit(Resource::As, Rlimit { current: Some(LADDER_BYTES), maximum: Some(LADDER_BYTES) })?)
}

/// CPU time for another request: a worker whose server died while it was lost in a loop ends by itself.
pub(crate) fn grant_time() -> io::Result<()> {
    let used = u64::try_from(clock_gettime(ClockId::ProcessCPUTime).tv_sec).unwrap_or(0);
    setrlimit(Resource::Cpu, Rlimit { current: Some(used + REQUEST_S), maximum: None })?;
    Ok(())
}
