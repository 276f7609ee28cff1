//! How a tag moves: straight from point to point, in whole mm and µs.

use super::Point;
use serde::{Deserialize, Serialize};
use stowage_base::{Duration, Timestamp};
use stowage_core::site::ZoneIx;

/// A walk begins and ends this far from the doorway, in mm.
pub const REACH_MM: i32 = 6_000;

/// How close to the doorway a tag comes that turns back, in mm.
const TURN_MM: i32 = 800;

/// How long it stands there.
const TURN_PAUSE: Duration = Duration::from_millis(1_500);

/// Which way through a doorway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the outer side to the inner.
    In,
    /// From the inner side to the outer.
    Out,
}

/// What a walk does at the doorway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// Straight through.
    Through,
    /// Up to it, and back after a moment.
    TurnBack,
    /// Stands in the middle of it for a while, then goes on through.
    Pause(Duration),
}

/// A way in a spot.
#[derive(Debug)]
pub(super) struct Path {
    /// In order of time; at least one.
    points: Vec<(Timestamp, Point)>,
    /// The zone into which the tag goes at the end, out of reach; `None`: it stays at the last point.
    then: Option<ZoneIx>,
}

impl Path {
    pub(super) fn rest(now: Timestamp, point: Point) -> Self {
        Self { points: vec![(now, point)], then: None }
    }

    pub(super) fn walk(
        now: Timestamp,
        [ahead, y, z]: Point,
        direction: Direction,
        course: Course,
        speed_mm_s: u32,
        goal: ZoneIx,
    ) -> Self {
        let sign = match direction {
            Direction::In => 1,
            Direction::Out => -1,
        };
        // Goods that walk together keep their distances: all begin at once and are through one after the other.
        let mut points = vec![(now, [sign * (ahead - REACH_MM), y, z])];
        let mut go = |x: i32, pause: Duration| {
            let (at, from) = points[points.len() - 1];
            let micros = i64::from((x - from[0]).abs()) * 1_000_000 / i64::from(speed_mm_s);
            let there = at + Duration::from_micros(micros);
            points.push((there, [x, y, z]));
            if pause > Duration::ZERO {
                points.push((there + pause, [x, y, z]));
            }
        };
        match course {
            Course::Through => go(sign * REACH_MM, Duration::ZERO),
            Course::TurnBack => {
                go(sign * (ahead.min(0) - TURN_MM), TURN_PAUSE);
                go(-sign * REACH_MM, Duration::ZERO);
            }
            Course::Pause(pause) => {
                go(sign * ahead, pause);
                go(sign * REACH_MM, Duration::ZERO);
            }
        }
        Self { points, then: Some(goal) }
    }

    /// When it is over.
    pub(super) fn end(&self) -> Timestamp {
        self.points[self.points.len() - 1].0
    }

    /// The zone that the tag has gone into, out of reach, by `at`.
    pub(super) fn left(&self, at: Timestamp) -> Option<ZoneIx> {
        self.then.filter(|_| self.end() <= at)
    }

    /// Where it is at `at`: before the beginning at the first point, after the end at the last.
    pub(super) fn at(&self, at: Timestamp) -> Point {
        let next = self.points.partition_point(|(time, _)| *time <= at);
        let Some((before, from)) = next.checked_sub(1).map(|last| self.points[last]) else { return self.points[0].1 };
        let Some((after, to)) = self.points.get(next) else { return from };
        let (gone, whole) = ((at - before).micros(), (*after - before).micros());
        std::array::from_fn(|axis| {
            let way = i64::from(to[axis] - from[axis]);
            // At most 12 m and some hours: far from an overflow.
            from[axis] + (way * gone / whole) as i32
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path, millis: i64) -> i32 {
        path.at(Timestamp::EPOCH + Duration::from_millis(millis))[0]
    }

    #[test]
    fn a_walk_is_straight_and_even() {
        let path = Path::walk(Timestamp::EPOCH, [0, 100, 900], Direction::In, Course::Through, 1_000, ZoneIx(1));
        assert_eq!([-1, 0, 1_000, 6_000, 11_500].map(|millis| at(&path, millis)), [-6_000, -6_000, -5_000, 0, 5_500]);
        assert_eq!(path.left(Timestamp::from_micros(11_999_999)), None);
        assert_eq!(path.left(path.end()), Some(ZoneIx(1)));
    }

    #[test]
    fn who_turns_back_never_crosses_the_doorway() {
        for ahead in [-500, 0, 500] {
            let path = Path::walk(Timestamp::EPOCH, [ahead, 0, 0], Direction::Out, Course::TurnBack, 900, ZoneIx(1));
            let xs: Vec<i32> = (0..20_000).step_by(10).map(|millis| at(&path, millis)).collect();
            assert!(xs.iter().all(|x| *x >= TURN_MM), "{:?}", xs.iter().min());
            assert!(xs.contains(&(TURN_MM - ahead.min(0))));
        }
    }

    #[test]
    fn a_pause_is_in_the_doorway() {
        let pause = Duration::from_secs(30);
        let path = Path::walk(Timestamp::EPOCH, [200, 0, 0], Direction::In, Course::Pause(pause), 1_000, ZoneIx(1));
        assert_eq!([6_000, 20_000, 36_000, 37_000].map(|millis| at(&path, millis)), [200, 200, 200, 1_200]);
    }
}
