//! Programs as separate processes, which end with the test however it ends.

use crate::until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The path of the program `name` of this workspace, built for the same profile as the running test.
///
/// # Panics
/// It was not built.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    // target/PROFILE/deps/TEST
    let folder = test.parent().and_then(Path::parent).expect("tests lie two folders deep");
    let path = folder.join(name);
    let profile = if folder.ends_with("release") { " --release" } else { "" };
    assert!(path.is_file(), "{} is missing: run `cargo build --workspace --bins{profile}` first", path.display());
    path
}

/// Runs a program to its end, with `input` on its standard input.
///
/// # Panics
/// It can't be run.
pub fn run(program: impl AsRef<OsStr>, args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(program.as_ref())
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.as_ref().display()));
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_vec();
    // Whoever doesn't want to read everything doesn't have to.
    let feeding = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("a child can be waited for");
    feeding.join().expect("it has only written");
    output
}

/// The lines of a program's output as text.
pub fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// The JSON of each line.
///
/// # Panics
/// A line is no JSON.
pub fn json_lines(octets: &[u8]) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    text(octets).lines().map(parse).collect()
}

/// A running program: takes JSON lines, tells JSON lines, complains on standard error. Killed when dropped.
pub struct Program {
    what: String,
    child: Child,
    stdin: Option<ChildStdin>,
    events: Arc<Mutex<Vec<Value>>>,
    complaints: Arc<Mutex<String>>,
}

impl Program {
    /// Starts `path`; failures call it `what`.
    ///
    /// # Panics
    /// It can't be started.
    pub fn start(what: &str, path: impl AsRef<OsStr>, args: &[&str]) -> Self {
        let mut child = Command::new(path.as_ref())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{what}: {}: {error}", path.as_ref().display()));
        let (events, complaints) = (Arc::<Mutex<Vec<Value>>>::default(), Arc::<Mutex<String>>::default());
        let (stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let (told, complained) = (Arc::clone(&events), Arc::clone(&complaints));
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                lock(&told).push(event);
            }
        });
        std::thread::spawn(move || {
            let (mut stderr, mut octets) = (stderr, [0; 4096]);
            while let Ok(count @ 1..) = stderr.read(&mut octets) {
                lock(&complained).push_str(&String::from_utf8_lossy(&octets[..count]));
            }
        });
        let stdin = child.stdin.take();
        Self { what: what.into(), child, stdin, events, complaints }
    }

    /// Writes a command, as one line.
    ///
    /// # Panics
    /// The program is gone.
    pub fn tell(&mut self, command: &Value) {
        let stdin = self.stdin.as_mut().expect("it is open until the drop");
        writeln!(stdin, "{command}").unwrap_or_else(|error| panic!("{}: {error}", self.what));
    }

    /// What it has told so far.
    pub fn events(&self) -> Vec<Value> {
        lock(&self.events).clone()
    }

    /// How many events it has told: a mark for [`hear_after`](Self::hear_after).
    pub fn mark(&self) -> usize {
        lock(&self.events).len()
    }

    /// Waits for the event `kind` that fits, of all told so far or later; returns its content.
    ///
    /// # Panics
    /// It doesn't come.
    pub fn hear(&self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.hear_after(0, kind, fits)
    }

    /// [`hear`](Self::hear), but without the first `mark` events.
    ///
    /// # Panics
    /// It doesn't come.
    pub fn hear_after(&self, mark: usize, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        until(&format!("{} to tell {kind}", self.what), || {
            let events = lock(&self.events);
            events[mark.min(events.len())..].iter().filter_map(|event| event.get(kind)).find(|it| fits(it)).cloned()
        })
    }

    /// All contents of events of `kind` so far.
    pub fn told(&self, kind: &str) -> Vec<Value> {
        lock(&self.events).iter().filter_map(|event| event.get(kind)).cloned().collect()
    }

    /// What it has written to standard error.
    pub fn complaints(&self) -> String {
        lock(&self.complaints).clone()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, without a warning.
    ///
    /// # Panics
    /// It can't be killed.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// It is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is ours");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It doesn't end.
    pub fn ended(&mut self) -> ExitStatus {
        let Self { what, child, .. } = self;
        until(&format!("{what} to end"), || child.try_wait().expect("it is ours"))
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let events = lock(&self.events);
            let last = events[events.len().saturating_sub(30)..].iter().map(|event| format!("{event}\n"));
            eprintln!("--- {} told last:\n{}", self.what, last.collect::<String>());
            eprintln!("--- {} complained:\n{}", self.what, lock(&self.complaints));
        }
    }
}

/// Resident memory of a process in KiB; 0 once it is gone.
pub fn resident_kib(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
