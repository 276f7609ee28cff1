//! `stowage run`: the daemon itself.

use super::Error;
use super::output::Output;
use crate::config;
use crate::runtime;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// Run the edge: devices, decisions, journal, pages
///
/// Ends cleanly on Ctrl-C or SIGTERM, once everything decided is stored.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The edge's configuration; its site is named in it
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(serde::Serialize)]
struct Started {
    page: String,
    scanners: String,
}

pub(super) fn run(args: &Args, out: &mut Output<'_>) -> Result<(), Error> {
    let edge = config::load_edge(&args.config).map_err(|faults| Error::Job(faults.to_string()))?;
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let tokio = tokio.map_err(|error| Error::Job(format!("can't start threads: {error}: close other programs")))?;
    let data = edge.data.clone();
    let result = tokio.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(until_told(stop.clone()));
        let started = |at: runtime::Running| {
            let started = Started { page: format!("http://{}/", at.page), scanners: at.scanners.to_string() };
            let text = format!(
                "The page is at {}; scanners connect to {}; the journal is in {}. Ctrl-C stops.",
                started.page,
                started.scanners,
                data.display()
            );
            // A closed standard output is no reason to stop a warehouse.
            let _ = out.either(&started, &text).and_then(|()| out.flush());
        };
        runtime::run(edge, stop, started).await
    });
    result.map_err(|error| Error::Job(error.to_string()))
}

/// Cancels `stop` on Ctrl-C or SIGTERM.
async fn until_told(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
    stop.cancel();
}
