//! Counts how often the handheld was switched on: no number twice, whenever the power goes.
//!
//! Two sectors by turns. One in use has a base and its inverse at its front; each boot programs the next word to zero,
//! and its number is the base plus the words that aren't blank. A full one hands its count on to the other.

use crate::store::StoreError;
use embedded_storage::nor_flash::{MultiwriteNorFlash, NorFlashErrorKind};

use super::medium;

const WORD: usize = 4;

/// Counts one more; the flash is two sectors, all its own. The number is at least 1.
///
/// # Errors
/// The flash fails, or has another size.
pub fn count_boot<F: MultiwriteNorFlash>(flash: &mut F) -> Result<u32, StoreError> {
    if flash.capacity() != 2 * F::ERASE_SIZE || !WORD.is_multiple_of(F::WRITE_SIZE) {
        return Err(StoreError::Medium { code: NorFlashErrorKind::OutOfBounds as u32 });
    }
    let bases = [base(flash, 0)?, base(flash, 1)?];
    let sector = usize::from(bases[1] > bases[0]);
    let mut count = 0;
    if let Some(begun) = bases[sector] {
        let words = F::ERASE_SIZE / WORD;
        let mut used = 2;
        while used < words && read(flash, sector, used)? != u32::MAX {
            used += 1;
        }
        count = begun + used as u32 - 2;
        if used < words {
            write(flash, sector, used, 0)?;
            return Ok(count + 1);
        }
    }
    // Nothing is lost if the power goes here: the full one still has the count.
    let other = 1 - sector;
    let from = (other * F::ERASE_SIZE) as u32;
    flash.erase(from, from + F::ERASE_SIZE as u32).map_err(|error| medium(&error))?;
    write(flash, other, 0, count)?;
    write(flash, other, 1, !count)?;
    write(flash, other, 2, 0)?;
    Ok(count + 1)
}

/// The base of a sector in use.
fn base<F: MultiwriteNorFlash>(flash: &mut F, sector: usize) -> Result<Option<u32>, StoreError> {
    let (base, inverse) = (read(flash, sector, 0)?, read(flash, sector, 1)?);
    Ok((base == !inverse).then_some(base))
}

fn read<F: MultiwriteNorFlash>(flash: &mut F, sector: usize, word: usize) -> Result<u32, StoreError> {
    let mut octets = [0; WORD];
    let at = (sector * F::ERASE_SIZE + word * WORD) as u32;
    flash.read(at, &mut octets).map_err(|error| medium(&error))?;
    Ok(u32::from_le_bytes(octets))
}

fn write<F: MultiwriteNorFlash>(flash: &mut F, sector: usize, word: usize, value: u32) -> Result<(), StoreError> {
    let at = (sector * F::ERASE_SIZE + word * WORD) as u32;
    flash.write(at, &value.to_le_bytes()).map_err(|error| medium(&error))
}
