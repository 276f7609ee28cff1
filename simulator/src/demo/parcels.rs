//! Parcels on the belt: most were announced, some are unknown, some can't be read.

use super::http;
use super::narrator::say;
use crate::device::{Clock, SorterCommand};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::net::SocketAddr;
use std::time::Duration;
use stowage_base::code;
use tokio::sync::mpsc;

const ROUTES: [&str; 4] = ["DE", "FR", "PL", "US"];

pub(super) async fn run(page: SocketAddr, seed: u64, clock: Clock, inductions: Vec<mpsc::Sender<SorterCommand>>) {
    let mut draw = ChaCha8Rng::seed_from_u64(seed ^ 0x5041_5243_454C);
    loop {
        tokio::time::sleep(Duration::from_millis(2_500 + u64::from(draw.next_u32() % 3_500))).await;
        // Ten a second at most, so no number comes twice, whenever the demo was started before.
        let number = clock.now().micros() / 100_000 % 10_000_000_000;
        let luck = draw.next_u32() % 100;
        let label = if luck < 8 { format!("EXP-{number}") } else { format!("PKT-{number}") };
        if luck < 85 {
            let route = ROUTES[draw.next_u32() as usize % ROUTES.len()];
            let parcel = serde_json::json!({ "code": label, "route": route }).to_string();
            // Without an announcement it goes to the hospital chute: as in life.
            let _ = http::post(page, "/api/parcels", &parcel).await;
        }
        let parcel = match luck {
            85..92 => {
                say("belt", "a parcel comes whose label can't be read");
                None
            }
            92.. => {
                say("belt", &format!("a parcel comes that nobody announced: {label}"));
                code(&label)
            }
            _ => code(&label),
        };
        let Some(induct) = inductions.get(draw.next_u32() as usize % inductions.len().max(1)) else { return };
        if induct.send(SorterCommand::Parcel { code: parcel }).await.is_err() {
            return;
        }
    }
}
