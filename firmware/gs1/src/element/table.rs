//! Every application identifier, from GS1's Barcode Syntax Dictionary (2026-07, Apache-2.0), in its notation.
//!
//! A format is made of components: `N` digits, `X` the 82 characters of text, `Y` 39, `Z` base64url; a length or, last,
//! `..` and a greatest one; in square brackets if it may be missing; then checks of its content, see `format.rs`.
//! Of store coupons (8110, 8112) and package types (7041) the format is checked, not the content.

use super::format;

/// One AI, or several that differ in their number alone.
#[derive(Debug)]
pub(crate) struct Row {
    first: &'static str,
    last: &'static str,
    /// `*`: of predefined length, no FNC1 follows. `?`: may stand in a Digital Link's query.
    flags: &'static str,
    pub(crate) format: &'static str,
    /// AIs of which one must be beside it; `+` joins those needed together, `n` is any digit.
    pub(crate) requires: &'static str,
    /// AIs that must not be beside it.
    pub(crate) excludes: &'static str,
    /// For a Digital Link's key: the qualifiers that may follow, in this order; `|` separates alternatives.
    pub(crate) qualifiers: Option<&'static str>,
}

impl Row {
    /// The length of a value after which no FNC1 is needed.
    pub(crate) fn fixed_len(&self) -> Option<usize> {
        self.flags.contains('*').then(|| format::lengths(self.format).1)
    }

    /// Whether a Digital Link may have it in its query.
    pub(crate) fn is_attribute(&self) -> bool {
        self.flags.contains('?')
    }
}

/// The row of the AI `ai`.
pub(crate) fn exactly(ai: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.first.len() == ai.len() && (row.first..=row.last).contains(&ai))
}

/// The AI that `text` begins with: no AI begins with another one.
pub(crate) fn at_front(text: &str) -> Option<(&str, &'static Row)> {
    (2..=4).filter_map(|len| text.get(..len)).find_map(|ai| Some((ai, exactly(ai)?)))
}

const fn row(
    first: &'static str,
    last: &'static str,
    flags: &'static str,
    format: &'static str,
    requires: &'static str,
    excludes: &'static str,
    qualifiers: Option<&'static str>,
) -> Row {
    Row { first, last, flags, format, requires, excludes, qualifiers }
}

// First, last, flags, format, required beside it, excluded beside it, qualifiers of a Digital Link's key.
#[rustfmt::skip]
static TABLE: &[Row] = &[
    row("00", "00", "*?", "N18,csum,gcppos2", "", "", Some("")),
    row("01", "01", "*?", "N14,csum,gcppos2", "", "255,37", Some("22,10,21|235")),
    row("02", "02", "*?", "N14,csum,gcppos2", "37", "01,03", None),
    row("03", "03", "*", "N14,csum,gcppos2", "", "01,02,37,235", None),
    row("10", "10", "?", "X..20", "01,02,03,8006,8026", "", None),
    row("11", "11", "*?", "N6,yymmd0", "01,02,03,8006,8026", "", None),
    row("12", "12", "*?", "N6,yymmd0", "8020", "", None),
    row("13", "13", "*?", "N6,yymmd0", "01,02,03,8006,8026", "", None),
    row("15", "16", "*?", "N6,yymmd0", "01,02,03,8006,8026", "", None),
    row("17", "17", "*?", "N6,yymmd0", "01,02,03,255,8006,8026", "", None),
    row("20", "20", "*?", "N2", "01,02,03,8006,8026", "", None),
    row("21", "21", "", "X..20", "01,03,8006", "235", None),
    row("22", "22", "", "X..20", "01", "", None),
    row("235", "235", "", "X..28", "01", "", None),
    row("240", "241", "?", "X..30", "01,02,03,8006,8026", "", None),
    row("242", "242", "?", "N..6", "01,02,8006,8026", "", None),
    row("243", "243", "?", "X..20", "01,03", "", None),
    row("250", "250", "?", "X..30", "01+21,03+21,8006+21", "", None),
    row("251", "251", "?", "X..30", "01,03,8006", "", None),
    row("253", "253", "?", "N13,csum,gcppos1 [X..17]", "", "", Some("")),
    row("254", "254", "", "X..20", "414", "", None),
    row("255", "255", "?", "N13,csum,gcppos1 [N..12]", "", "01,02,415,8006,8020,8026", Some("")),
    row("30", "30", "?", "N..8", "01,02", "", None),
    row("3100", "3105", "*?", "N6", "01,02", "310n", None),
    row("3110", "3115", "*?", "N6", "01,02", "311n", None),
    row("3120", "3125", "*?", "N6", "01,02", "312n", None),
    row("3130", "3135", "*?", "N6", "01,02", "313n", None),
    row("3140", "3145", "*?", "N6", "01,02", "314n", None),
    row("3150", "3155", "*?", "N6", "01,02", "315n", None),
    row("3160", "3165", "*?", "N6", "01,02", "316n", None),
    row("3200", "3205", "*?", "N6", "01,02", "320n", None),
    row("3210", "3215", "*?", "N6", "01,02", "321n", None),
    row("3220", "3225", "*?", "N6", "01,02", "322n", None),
    row("3230", "3235", "*?", "N6", "01,02", "323n", None),
    row("3240", "3245", "*?", "N6", "01,02", "324n", None),
    row("3250", "3255", "*?", "N6", "01,02", "325n", None),
    row("3260", "3265", "*?", "N6", "01,02", "326n", None),
    row("3270", "3275", "*?", "N6", "01,02", "327n", None),
    row("3280", "3285", "*?", "N6", "01,02", "328n", None),
    row("3290", "3295", "*?", "N6", "01,02", "329n", None),
    row("3300", "3305", "*?", "N6", "00,01", "330n", None),
    row("3310", "3315", "*?", "N6", "00,01", "331n", None),
    row("3320", "3325", "*?", "N6", "00,01", "332n", None),
    row("3330", "3335", "*?", "N6", "00,01", "333n", None),
    row("3340", "3345", "*?", "N6", "00,01", "334n", None),
    row("3350", "3355", "*?", "N6", "00,01", "335n", None),
    row("3360", "3365", "*?", "N6", "00,01", "336n", None),
    row("3370", "3375", "*?", "N6", "01", "337n", None),
    row("3400", "3405", "*?", "N6", "00,01", "340n", None),
    row("3410", "3415", "*?", "N6", "00,01", "341n", None),
    row("3420", "3425", "*?", "N6", "00,01", "342n", None),
    row("3430", "3435", "*?", "N6", "00,01", "343n", None),
    row("3440", "3445", "*?", "N6", "00,01", "344n", None),
    row("3450", "3455", "*?", "N6", "00,01", "345n", None),
    row("3460", "3465", "*?", "N6", "00,01", "346n", None),
    row("3470", "3475", "*?", "N6", "00,01", "347n", None),
    row("3480", "3485", "*?", "N6", "00,01", "348n", None),
    row("3490", "3495", "*?", "N6", "00,01", "349n", None),
    row("3500", "3505", "*?", "N6", "01,02", "350n", None),
    row("3510", "3515", "*?", "N6", "01,02", "351n", None),
    row("3520", "3525", "*?", "N6", "01,02", "352n", None),
    row("3530", "3535", "*?", "N6", "00,01", "353n", None),
    row("3540", "3545", "*?", "N6", "00,01", "354n", None),
    row("3550", "3555", "*?", "N6", "00,01", "355n", None),
    row("3560", "3565", "*?", "N6", "01,02", "356n", None),
    row("3570", "3575", "*?", "N6", "01,02", "357n", None),
    row("3600", "3605", "*?", "N6", "01,02", "360n", None),
    row("3610", "3615", "*?", "N6", "01,02", "361n", None),
    row("3620", "3625", "*?", "N6", "00,01", "362n", None),
    row("3630", "3635", "*?", "N6", "00,01", "363n", None),
    row("3640", "3645", "*?", "N6", "01,02", "364n", None),
    row("3650", "3655", "*?", "N6", "01,02", "365n", None),
    row("3660", "3665", "*?", "N6", "01,02", "366n", None),
    row("3670", "3675", "*?", "N6", "00,01", "367n", None),
    row("3680", "3685", "*?", "N6", "00,01", "368n", None),
    row("3690", "3695", "*?", "N6", "00,01", "369n", None),
    row("37", "37", "?", "N..8", "00+02,00+8026", "", None),
    row("3900", "3909", "?", "N..15", "255,8020", "390n,391n,394n,8111", None),
    row("3910", "3919", "?", "N3,iso4217 N..15", "8020", "391n", None),
    row("3920", "3929", "?", "N..15", "01+30,01+31nn,01+32nn,01+35nn,01+36nn", "392n,393n", None),
    row("3930", "3939", "?", "N3,iso4217 N..15", "30,31nn,32nn,35nn,36nn", "393n", None),
    row("3940", "3943", "?", "N4", "255", "394n,8111", None),
    row("3950", "3955", "?", "N6", "30,31nn,32nn,35nn,36nn", "392n,393n,395n,8005", None),
    row("400", "400", "?", "X..30", "", "", None),
    row("401", "401", "?", "X..30,gcppos1", "", "", Some("")),
    row("402", "402", "?", "N17,csum,gcppos1", "", "", Some("")),
    row("403", "403", "?", "X..30", "00", "", None),
    row("410", "413", "*?", "N13,csum,gcppos1", "", "", None),
    row("414", "414", "*?", "N13,csum,gcppos1", "", "", Some("254|7040")),
    row("415", "415", "*?", "N13,csum,gcppos1", "8020", "", Some("8020")),
    row("416", "416", "*?", "N13,csum,gcppos1", "", "", None),
    row("417", "417", "*?", "N13,csum,gcppos1", "", "", Some("7040")),
    row("420", "420", "?", "X..20", "", "421", None),
    row("421", "421", "?", "N3,iso3166 X..9", "", "4307", None),
    row("422", "422", "?", "N3,iso3166", "01,02,03,8006,8026", "426", None),
    row("423", "423", "?", "N3,iso3166 [N3],iso3166 [N3],iso3166 [N3],iso3166 [N3],iso3166", "01,02,03", "426", None),
    row("424", "424", "?", "N3,iso3166", "01,02,03", "426", None),
    row("425", "425", "?", "N3,iso3166 [N3],iso3166 [N3],iso3166 [N3],iso3166 [N3],iso3166", "01,02,03", "426", None),
    row("426", "426", "?", "N3,iso3166", "01,02,03", "", None),
    row("427", "427", "?", "X..3", "01+422,02+422,03+422", "", None),
    row("4300", "4301", "?", "X..35,pcenc", "00", "", None),
    row("4302", "4302", "?", "X..70,pcenc", "00", "", None),
    row("4303", "4303", "?", "X..70,pcenc", "4302", "", None),
    row("4304", "4306", "?", "X..70,pcenc", "00", "", None),
    row("4307", "4307", "?", "X2,iso3166alpha2", "00", "", None),
    row("4308", "4308", "?", "X..30", "00", "", None),
    row("4309", "4309", "?", "N10,latitude N10,longitude", "00", "", None),
    row("4310", "4311", "?", "X..35,pcenc", "00", "", None),
    row("4312", "4312", "?", "X..70,pcenc", "00", "", None),
    row("4313", "4313", "?", "X..70,pcenc", "4312", "", None),
    row("4314", "4316", "?", "X..70,pcenc", "00", "", None),
    row("4317", "4317", "?", "X2,iso3166alpha2", "00", "", None),
    row("4318", "4318", "?", "X..20", "00", "", None),
    row("4319", "4319", "?", "X..30", "00", "", None),
    row("4320", "4320", "?", "X..35,pcenc", "00", "", None),
    row("4321", "4323", "?", "N1,yesno", "00", "", None),
    row("4324", "4325", "?", "N6,yymmd0 N4,hhmi", "00", "", None),
    row("4326", "4326", "?", "N6,yymmdd", "00", "", None),
    row("4330", "4330", "?", "N6 [X1],hyphen", "00", "4331", None),
    row("4331", "4331", "?", "N6 [X1],hyphen", "00", "4330", None),
    row("4332", "4332", "?", "N6 [X1],hyphen", "00", "4333", None),
    row("4333", "4333", "?", "N6 [X1],hyphen", "00", "4332", None),
    row("7001", "7001", "?", "N13", "01,02,8006,8026", "", None),
    row("7002", "7002", "?", "X..30", "01,02", "", None),
    row("7003", "7003", "?", "N6,yymmdd N4,hhmi", "01,02,03", "", None),
    row("7004", "7004", "?", "N..4", "01+10,03+10", "", None),
    row("7005", "7005", "?", "X..12", "01,02", "", None),
    row("7006", "7006", "?", "N6,yymmdd", "01,02", "", None),
    row("7007", "7007", "?", "N6,yymmdd [N6],yymmdd", "01,02", "", None),
    row("7008", "7008", "?", "X..3", "01,02", "", None),
    row("7009", "7009", "?", "X..10", "01,02", "", None),
    row("7010", "7010", "?", "X..2", "01,02,03", "", None),
    row("7011", "7011", "?", "N6,yymmdd [N4],hhmi", "01,02,03", "", None),
    row("7020", "7020", "?", "X..20", "01+416,03+416,8006+416", "", None),
    row("7021", "7021", "?", "X..20", "01,03,8006", "", None),
    row("7022", "7022", "?", "X..20", "01+7021,03+7021,8006+7021", "", None),
    row("7023", "7023", "?", "X..30,gcppos1", "", "", None),
    row("7030", "7039", "?", "N3,iso3166999 X..27", "01,02", "", None),
    row("7040", "7040", "", "N1 X1 X1 X1,importeridx", "", "", None),
    row("7041", "7041", "", "X..4", "00", "", None),
    row("710", "717", "?", "X..20", "01", "", None),
    row("7230", "7239", "?", "X2 X..28", "01,8004", "", None),
    row("7240", "7240", "?", "X..20", "01,8006", "03", None),
    row("7241", "7241", "?", "N2,mediatype", "8017,8018", "", None),
    row("7242", "7242", "?", "X..25", "8017,8018", "", None),
    row("7250", "7250", "?", "N8,yyyymmdd", "8018", "7251", None),
    row("7251", "7251", "?", "N8,yyyymmdd N4,hhmi", "8018", "7250", None),
    row("7252", "7252", "?", "N1,iso5218", "8018", "", None),
    row("7253", "7254", "?", "X..40,pcenc", "8017,8018", "7256,7259", None),
    row("7255", "7255", "?", "X..10", "8017,8018", "7256,7259", None),
    row("7256", "7256", "?", "X..90,pcenc", "8017,8018", "", None),
    row("7257", "7257", "?", "X..70,pcenc", "8018", "", None),
    row("7258", "7258", "?", "X3,posinseqslash", "8018+7259", "", None),
    row("7259", "7259", "?", "X..40,pcenc", "8018", "7256", None),
    row("8001", "8001", "?", "N4,nonzero N5,nonzero N3,nonzero N1,winding N1", "01", "", None),
    row("8002", "8002", "?", "X..20", "", "", None),
    row("8003", "8003", "?", "N1,zero N13,csum,gcppos1 [X..16]", "", "", Some("")),
    row("8004", "8004", "?", "X..30,gcppos1", "", "", Some("7040")),
    row("8005", "8005", "?", "N6", "01,02", "", None),
    row("8006", "8006", "?", "N14,csum,gcppos2 N4,pieceoftotal", "", "01,03,37", Some("22,10,21")),
    row("8007", "8007", "?", "X..34,iban", "415", "", None),
    row("8008", "8008", "?", "N6,yymmdd N2,hh [N2],mi [N2],ss", "01,02,03", "", None),
    row("8009", "8009", "?", "X..50", "00,01,03", "", None),
    row("8010", "8010", "?", "Y..30,gcppos1", "", "", Some("8011")),
    row("8011", "8011", "", "N..12,nozeroprefix", "8010", "", None),
    row("8012", "8012", "?", "X..20", "01,03,8006", "", None),
    row("8013", "8013", "?", "X..25,csumalpha,gcppos1", "", "", Some("")),
    row("8014", "8014", "", "X..25,csumalpha,gcppos1,hasnondigit", "01", "", None),
    row("8017", "8017", "?", "N18,csum,gcppos1", "", "8018", Some("8019")),
    row("8018", "8018", "?", "N18,csum,gcppos1", "", "8017", Some("8019")),
    row("8019", "8019", "", "N..10", "8017,8018", "", None),
    row("8020", "8020", "", "X..25", "415", "", None),
    row("8026", "8026", "?", "N14,csum,gcppos2 N4,pieceoftotal", "37", "02,03,8006", None),
    row("8030", "8030", "?", "Z..90", "00,01+21,03+21,253,255,8003,8004,8006+21,8010+8011,8017,8018", "", None),
    row("8040", "8040", "", "N15", "01+21", "", None),
    row("8041", "8041", "", "N15", "01+21+8040", "", None),
    row("8042", "8042", "", "N32", "01+21+8040", "", None),
    row("8043", "8043", "", "N18 [N..2]", "01+21+8040", "", None),
    row("8110", "8110", "?", "X..70", "", "", None),
    row("8111", "8111", "?", "N4", "255", "", None),
    row("8112", "8112", "?", "X..70", "", "", None),
    row("8200", "8200", "", "X..70", "01", "", None),
    row("90", "90", "?", "X..30", "", "", None),
    row("91", "99", "?", "X..90", "", "", None),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_well_formed() {
        for row in TABLE {
            assert!(row.first <= row.last && row.first.len() == row.last.len(), "{row:?}");
            assert!((2..=4).contains(&row.first.len()), "{row:?}");
            let (min, max) = format::lengths(row.format);
            assert!(0 < min && min <= max && max <= crate::element::VALUE_MAX, "{row:?}");
            assert!(row.fixed_len().is_none_or(|len| len == min), "{row:?}");
            assert!(format::checks(row.format).all(format::is_known), "{row:?}");
        }
    }

    #[test]
    fn no_ai_begins_with_another() {
        for (index, row) in TABLE.iter().enumerate() {
            let (_, found) = at_front(row.last).expect("is in the table");
            assert!(core::ptr::eq(found, &TABLE[index]), "{row:?} is hidden by {found:?}");
        }
    }
}
