//! The speeds of the line, and the order in which a module is looked for.

/// The speeds that modules know, in Bd; the first is their own after power-up, unless they were told to keep another.
pub const SPEEDS: [u32; 8] = [115_200, 9_600, 19_200, 38_400, 57_600, 230_400, 460_800, 921_600];

/// Where to look for a module that shall talk at `configured` Bd: there first, then at the other [`SPEEDS`].
pub fn search(configured: u32) -> impl Iterator<Item = u32> {
    core::iter::once(configured).chain(SPEEDS.into_iter().filter(move |speed| *speed != configured))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn the_configured_speed_comes_first_and_each_once() {
        assert_eq!(search(115_200).collect::<Vec<_>>(), SPEEDS);
        let order: Vec<_> = search(9_600).collect();
        assert_eq!(order, [9_600, 115_200, 19_200, 38_400, 57_600, 230_400, 460_800, 921_600]);
        assert_eq!(search(250_000).count(), 9);
    }
}
