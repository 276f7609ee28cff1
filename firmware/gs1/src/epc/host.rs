//! The host name in '++' schemes (TDS 2.3 §14.5.16, tables 14-11 to 14-15).

use super::bits::Writer;
use super::coded::{CODE40, Cursor, Sink};
use super::{EpcError, Reason};
use crate::digits::is_text;

/// Most characters of a host name, and most units of 7 bits that hold it.
pub(super) const HOST_MAX: usize = 63;

/// What stands for more than one character, by the 7 bits that stand for it.
const SHORTCUTS: &[(u8, &str)] = &[
    (0x1E, "qr."),
    (0x1F, "www."),
    (0x20, "id."),
    (0x5B, ".com"),
    (0x5C, ".org"),
    (0x5D, ".net"),
    (0x5E, ".int"),
    (0x60, ".edu"),
    (0x7B, ".gov"),
    (0x7C, ".mil"),
    (0x7D, ".biz"),
    (0x7E, ".eco"),
    (0x7F, ".med"),
];

/// Endings in two units: by the first unit, in the order of the second.
const ENDINGS: [&str; 4] = [
    ".ac .ad .ae .af .ag .ai .al .am .ao .aq .ar .as .at .au .aw .ax .az .ba .bb .bd .be .bf .bg .bh .bi .bj .bm .bn \
     .bo .bq .br .bs .bt .bw .by .bz .ca .cc .cd .cf .cg .ch .ci .ck .cl .cm .cn .co .cr .cu .cv .cw .cx .cy .cz .de \
     .dj .dk .dm .do .dz .ec .ee .eg .eh .er .es .et .eu .fi .fj .fk .fm .fo .fr .ga .gd .ge .gf .gg .gh .gi .gl .gm \
     .gn .gp .gq .gr .gs .gt .gu .gw .gy .hk .hm .hn .hr .ht .hu .id .ie .il .im .in .io .iq .ir .is .it .je .jm .jo \
     .jp .ke .kg .kh .ki .km .kn .kp .kr .kw .ky .kz .la .lb .lc .li",
    ".lk .lr .ls .lt .lu .lv .ly .ma .mc .md .me .mg .mh .mk .ml .mm .mn .mo .mp .mq .mr .ms .mt .mu .mv .mw .mx .my \
     .mz .na .nc .ne .nf .ng .ni .nl .no .np .nr .nu .nz .om .pa .pe .pf .pg .ph .pk .pl .pm .pn .pr .ps .pt .pw .py \
     .qa .re .ro .rs .ru .rw .sa .sb .sc .sd .se .sg .sh .si .sk .sl .sm .sn .sr .ss .st .su .sv .sx .sy .sz .tc .td \
     .tf .tg .th .tj .tk .tl .tm .tn .to .tr .tt .tv .tw .tz .ua .ug .us .uy .uz .va .vc .ve .vg .vi .vn .vu .wf .ws \
     .ye .yt .za .zm .zw",
    ".com.au .net.au .org.au .co.at .com.bd .co.bd .com.br .net.br .co.nz .com.ng .com.pk .co.in .com.in .co.il \
     .co.jp .co.za .co.kr .com.es .com.lk .co.th .co.tt .com.tt .com.tr .biz.tr .com.ua .co.uk .co.zm .com.zm \
     .com.cn .org.cn .net.cn .gov.cn",
    ".tech",
];

/// Whether a character may be in a host name: those of names, and a port's colon.
fn is_host(c: u8) -> bool {
    c.is_ascii_alphanumeric() || b"-.:_".contains(&c)
}

impl Cursor<'_> {
    /// Reads a host name.
    pub(super) fn host(&mut self, sink: Sink<'_>) -> Result<(), EpcError> {
        let begin = self.at;
        let (seven, count) = (self.take(1)? == 1, self.take(6)? as usize);
        if count == 0 {
            return Err(Reason::Expected("a host name").at(begin));
        }
        if !seven {
            return self.code40(count, sink);
        }
        let mut left = count;
        while left > 0 {
            let at = self.at;
            let unit = self.take(7)? as u8;
            left -= 1;
            let shortcut = SHORTCUTS.iter().find(|(code, _)| *code == unit);
            if let Some((_, text)) = shortcut {
                text.bytes().for_each(&mut *sink);
            } else if let Some(endings) = ENDINGS.get(usize::from(unit)) {
                let second = self.take(7)? as usize;
                let text = endings.split(' ').nth(second).filter(|_| left > 0).ok_or(Reason::Coding(unit).at(at))?;
                left -= 1;
                text.bytes().for_each(&mut *sink);
            } else if is_host(unit) && is_text(unit) {
                sink(unit);
            } else {
                return Err(Reason::Character(unit).at(at));
            }
        }
        Ok(())
    }
}

impl Writer {
    /// Writes a host name in the fewest bits.
    pub(super) fn host(&mut self, host: &str) -> Result<(), Reason> {
        let text = host.as_bytes();
        if text.is_empty() || text.len() > HOST_MAX {
            return Err(Reason::Length { field: "host name", found: text.len(), min: 1, max: HOST_MAX });
        }
        if let Some(&c) = text.iter().find(|c| !is_host(**c)) {
            return Err(Reason::Character(c));
        }
        // From the right: how many units each rest takes.
        let mut costs = [0u8; HOST_MAX + 1];
        for at in (0..text.len()).rev() {
            let whole = costs[at + 1] + 1;
            costs[at] = shortcuts(&text[at..]).map(|(_, units, len)| costs[at + len] + units).fold(whole, u8::min);
        }
        let units = costs[0];
        let groups = text.len().div_ceil(3);
        if text.iter().all(|c| CODE40.contains(c)) && 16 * groups < 7 * usize::from(units) {
            self.put(7, text.len() as u64);
            self.code40(text);
            return Ok(());
        }
        self.put(1, 1);
        self.put(6, units.into());
        let mut at = 0;
        while at < text.len() {
            let fits = |(_, units, len): &(u64, u8, usize)| costs[at] == costs[at + len] + units;
            let character = (text[at].into(), 1, 1);
            let (code, units, len) = shortcuts(&text[at..]).find(fits).unwrap_or(character);
            self.put(7 * usize::from(units), code);
            at += len;
        }
        Ok(())
    }
}

/// What `rest` begins with that has a code of its own: the code, its units of 7 bits, the length.
fn shortcuts(rest: &[u8]) -> impl Iterator<Item = (u64, u8, usize)> {
    let short = SHORTCUTS.iter().map(|(code, text)| (u64::from(*code), 1, *text));
    let long = ENDINGS.iter().zip(0..).flat_map(|(endings, first)| {
        endings.split(' ').zip(0..).map(move |(text, second): (_, u64)| (first << 7 | second, 2, text))
    });
    short
        .chain(long)
        .filter(|(_, _, text)| rest.starts_with(text.as_bytes()))
        .map(|(code, units, text)| (code, units, text.len()))
}
