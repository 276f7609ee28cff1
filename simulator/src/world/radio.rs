//! The way from an antenna to a tag and back.
//!
//! The field at a tag is the sum of the direct ray, its image in the floor and a few plane waves from far reflectors,
//! which are drawn once for each pair of antenna and tag. So fading is the same each time in the same place on the same
//! channel, changes over half a wavelength of motion, and differs from channel to channel.

use super::{AntennaSpec, Point, SpotIx};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use std::f64::consts::{PI, TAU};

/// Speed of light in mm·kHz: over a frequency in kHz it is the wavelength in mm.
const LIGHT: f64 = 299_792_458.0;

/// Far reflectors.
const WAVES: usize = 6;

/// Power of all far reflections together, relative to the direct ray at [`WAVES_AT_MM`]: 10 dB below it.
const WAVES_POWER: f64 = 0.1;

/// Reflections don't grow with the direct ray: at this distance they have the share given above.
const WAVES_AT_MM: f64 = 3_000.0;

/// What the floor leaves of a ray, with the antenna's and the tag's patterns.
const FLOOR: f64 = 0.35;

/// Antenna gain in dBi (linear, towards its middle), and how much less behind it.
const GAIN_DB: f64 = 6.0;
const BACK_DB: f64 = 20.0;

/// 10·n with n = 4.1: half power 32.5° beside the middle.
const PATTERN_DB: f64 = 41.0;

/// Tag dipole's gain, loss between circular and linear waves, and in the cable, in dB.
const TAG_DB: f64 = 2.15;
const POLARISATION_DB: f64 = 3.0;
const CABLE_DB: f64 = 1.0;

/// An antenna where it hangs.
#[derive(Debug)]
pub(super) struct Antenna {
    pub(super) port: u16,
    pub(super) spot: SpotIx,
    at: [f64; 3],
    /// Where it looks, of length 1.
    facing: [f64; 3],
}

impl Antenna {
    pub(super) fn new(spec: &AntennaSpec) -> Self {
        const SIN_30: f64 = 0.5;
        const COS_30: f64 = 0.866_025_403_784_438_6;
        let facing = match spec.x_mm.signum() {
            0 => [0.0, -1.0, 0.0],
            side => [f64::from(side) * SIN_30, -COS_30, 0.0],
        };
        Self { port: spec.port, spot: spec.spot, at: [f64::from(spec.x_mm), 1_500.0, 1_500.0], facing }
    }

    /// The point `distance_mm` before it.
    pub(super) fn ahead(&self, distance_mm: u32) -> Point {
        let mut axes = self.at.iter().zip(&self.facing);
        std::array::from_fn(|_| axes.next().map_or(0, |(at, facing)| (at + facing * f64::from(distance_mm)) as i32))
    }
}

/// What a tag is like.
#[derive(Debug)]
pub(super) struct Body {
    /// Below this power in dBm it sleeps.
    sensitivity_dbm: f64,
    /// How it lies and what it sticks on, in dB one way.
    loss_db: f64,
    /// Turn of its reflection, rad.
    phase: f64,
}

impl Body {
    pub(super) fn draw(draw: &mut ChaCha8Rng) -> Self {
        Self { sensitivity_dbm: -20.0 + normal(draw), loss_db: 2.0 * unit(draw), phase: TAU * unit(draw) }
    }
}

/// The reflectors between one antenna and one tag.
#[derive(Debug)]
pub(super) struct Link {
    waves: [Wave; WAVES],
    /// Turn in the reader's own cables, rad.
    phase: f64,
}

#[derive(Debug)]
struct Wave {
    /// Where it goes, of length 1.
    direction: [f64; 3],
    /// Its detour at the spot's middle, mm.
    detour_mm: f64,
}

impl Link {
    pub(super) fn draw(draw: &mut ChaCha8Rng) -> Self {
        let waves = std::array::from_fn(|_| {
            // Even over a sphere: any height is as likely as any other.
            let (height, turn) = (2.0 * unit(draw) - 1.0, TAU * unit(draw));
            let flat = libm::sqrt(1.0 - height * height);
            let direction = [flat * libm::cos(turn), flat * libm::sin(turn), height];
            Wave { direction, detour_mm: 1_000.0 + 14_000.0 * unit(draw) }
        });
        Self { waves, phase: TAU * unit(draw) }
    }
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Signal {
    /// Whether the tag has power to answer.
    pub(super) powered: bool,
    /// Strength of the answer at the reader, dBm.
    pub(super) rssi_dbm: f64,
    /// Its phase, rad.
    pub(super) phase: f64,
    /// Carrier, kHz.
    pub(super) khz: u32,
}

pub(super) fn signal(antenna: &Antenna, body: &Body, link: &Link, point: Point, khz: u32, power_cdbm: i16) -> Signal {
    let tag: [f64; 3] = std::array::from_fn(|axis| f64::from(point[axis]));
    let away: [f64; 3] = std::array::from_fn(|axis| tag[axis] - antenna.at[axis]);
    let wavelength = LIGHT / f64::from(khz);
    let wavenumber = TAU / wavelength;
    let level = away[0] * away[0] + away[1] * away[1];
    let distance = libm::sqrt(level + away[2] * away[2]).max(100.0);
    let below = tag[2] + antenna.at[2];
    let by_floor = libm::sqrt(level + below * below).max(distance);

    // Relative to the direct ray's amplitude.
    let mut field = [libm::cos(wavenumber * distance), -libm::sin(wavenumber * distance)];
    let mut add = |amplitude: f64, way: f64| {
        field[0] += amplitude * libm::cos(wavenumber * way);
        field[1] -= amplitude * libm::sin(wavenumber * way);
    };
    // The floor turns the ray around.
    add(FLOOR * distance / by_floor, by_floor + wavelength / 2.0);
    let wave = libm::sqrt(WAVES_POWER / WAVES as f64) * (distance / WAVES_AT_MM).min(2.0);
    for Wave { direction, detour_mm } in &link.waves {
        add(wave, detour_mm + direction[0] * tag[0] + direction[1] * tag[1] + direction[2] * tag[2]);
    }
    let fading_db = 10.0 * libm::log10((field[0] * field[0] + field[1] * field[1]).max(1e-4));

    let ahead = antenna.facing.iter().zip(away).map(|(facing, away)| facing * away).sum::<f64>() / distance;
    let beside_db = if ahead > 0.0 { (PATTERN_DB * libm::log10(ahead)).max(-BACK_DB) } else { -BACK_DB };
    let free_db = 20.0 * libm::log10(wavelength / (4.0 * PI * distance));
    let one_way_db = GAIN_DB + beside_db + TAG_DB + free_db + fading_db - POLARISATION_DB - CABLE_DB - body.loss_db;
    let power_dbm = f64::from(power_cdbm) / 100.0;
    let at_tag_dbm = power_dbm + one_way_db;
    // A tag close by shields itself.
    let modulation_db = 6.0 + (0.6 * (at_tag_dbm + 8.0)).max(0.0);
    Signal {
        powered: at_tag_dbm >= body.sensitivity_dbm,
        rssi_dbm: power_dbm + 2.0 * one_way_db - modulation_db,
        phase: link.phase + body.phase - 2.0 * libm::atan2(field[1], field[0]),
        khz,
    }
}

/// Even over 0 to 1.
pub(super) fn unit(draw: &mut ChaCha8Rng) -> f64 {
    f64::from(draw.next_u32()) / 4_294_967_296.0
}

/// About normal, of mean 0 and deviation 1: the sum of twelve even draws.
pub(super) fn normal(draw: &mut ChaCha8Rng) -> f64 {
    let mut sum = -6.0;
    for _ in 0..6 {
        let pair = draw.next_u32();
        sum += f64::from(pair & 0xFFFF) / 65_536.0 + f64::from(pair >> 16) / 65_536.0;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::rng;

    fn looks(x_mm: i32) -> Antenna {
        Antenna::new(&AntennaSpec { port: 1, spot: SpotIx(0), x_mm })
    }

    fn rssi(point: impl Fn(&Antenna) -> Point, khz: u32, tag: u64) -> f64 {
        let antenna = looks(0);
        let (body, link) = (Body::draw(&mut rng(1, [3, tag, 0])), Link::draw(&mut rng(1, [4, tag, 0])));
        signal(&antenna, &body, &link, point(&antenna), khz, 3_000).rssi_dbm
    }

    #[test]
    fn strength_falls_with_distance_about_as_measured() {
        let mean = |distance| {
            let all = (0..200).map(|tag| rssi(|antenna| antenna.ahead(distance), 915_250, tag));
            all.sum::<f64>() / 200.0
        };
        let [near, middle, far] = [1_500, 3_000, 6_000].map(mean);
        assert!((-50.0..-40.0).contains(&near), "{near}");
        assert!((-60.0..-48.0).contains(&middle), "{middle}");
        assert!((-73.0..-59.0).contains(&far), "{far}");
    }

    #[test]
    fn fading_stays_in_its_place_and_differs_between_channels() {
        let still = |khz| rssi(|_| [400, 0, 900], khz, 7);
        assert_eq!(still(915_250).to_bits(), still(915_250).to_bits());
        let all: Vec<f64> = (0..50).map(|hop| still(902_750 + 500 * hop)).collect();
        let mean = all.iter().sum::<f64>() / 50.0;
        let deviation = libm::sqrt(all.iter().map(|rssi| (rssi - mean) * (rssi - mean)).sum::<f64>() / 50.0);
        assert!((0.3..4.0).contains(&deviation), "{deviation}");
    }

    #[test]
    fn behind_an_antenna_is_little_to_be_heard() {
        assert!(rssi(|_| [0, 500, 1_500], 915_250, 1) > rssi(|_| [0, 2_500, 1_500], 915_250, 1) + 20.0);
    }
}
