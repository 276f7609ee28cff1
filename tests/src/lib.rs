//! What tests with real parts share: the programs as processes, a plant that wires them up, and ways to ask and wait.

pub mod gdb;
pub mod http;
pub mod link;
pub mod plant;
pub mod process;
pub mod recorder;
pub mod relay;

use std::time::{Duration, Instant};

/// How long anything may take that has no bound of its own: debug programs on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// What ends with the test at the latest.
pub const FOR_EVER: Duration = Duration::from_secs(24 * 3_600);

/// Between two looks at what is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits until `probe` finds something. The one place where tests wait.
///
/// # Panics
/// Nothing was found `within` that time: `what` says what was waited for.
pub fn within<T>(within: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {within:?} in vain: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// [`within`] the [`PATIENCE`].
///
/// # Panics
/// As [`within`].
pub fn until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, probe)
}

/// An SGTIN-96 of the demo site's company prefix (TDS 2.3 §14.6.1): filter 1, partition 5, 9521321.
pub fn sgtin96(item_reference: u32, serial: u64) -> String {
    let head = 0x30_u128 << 88 | 1 << 85 | 5 << 82;
    format!("{:024X}", head | 9_521_321_u128 << 58 | u128::from(item_reference) << 38 | u128::from(serial))
}

/// What facts call the tag of [`sgtin96`].
pub fn sgtin_uri(item_reference: u32, serial: u64) -> String {
    format!("urn:epc:id:sgtin:9521321.{item_reference:06}.{serial}")
}

/// Item references of the demo site's goods, as in their GTINs.
pub mod goods {
    /// Mug, serialised.
    pub const MUG: u32 = 101;
    /// Headphones, serialised.
    pub const HEADPHONES: u32 = 102;
    /// Backpack, serialised.
    pub const BACKPACK: u32 = 103;
    /// Sneakers, serialised.
    pub const SNEAKERS: u32 = 104;
    /// Desk lamp, serialised.
    pub const LAMP: u32 = 105;
}

/// The folder of the independent vectors; `None` where it is absent, which is said.
pub fn vectors() -> Option<std::path::PathBuf> {
    let beside = || std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors"));
    let folder = std::env::var_os("STOWAGE_VECTORS").map_or_else(beside, Into::into);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no vectors in {}", folder.display());
    None
}

/// Whether to run longer and harder.
pub fn long() -> bool {
    std::env::var_os("STOWAGE_LONG").is_some_and(|long| long == "1")
}
