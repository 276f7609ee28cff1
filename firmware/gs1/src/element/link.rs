//! GS1 Digital Link URIs (GS1 Digital Link: URI syntax 1.6): `https://host/stem/01/09506000134352/21/7?17=270300`.

use super::{Ai, Element, ElementError, Escape, Form, Reason, Walk, table};
use crate::digits::is_unreserved;

/// Where a walk is in a Digital Link.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// Where the key's AI begins.
    key: usize,
    /// Where the path ends.
    path_end: usize,
}

/// Whether `text` is a web address; the scheme is in small letters or in capitals.
pub(super) fn is_link(text: &str) -> bool {
    after_scheme(text).is_some()
}

fn after_scheme(text: &str) -> Option<&str> {
    ["https://", "http://", "HTTPS://", "HTTP://"].iter().find_map(|scheme| text.strip_prefix(scheme))
}

/// Finds the key of the Digital Link that `text` holds from octet `from` on.
pub(super) fn start(text: &str, from: usize) -> Result<Walk<'_>, ElementError> {
    let error = |position, what| ElementError { ai: None, position, reason: Reason::Link(what) };
    let is_uri = |octet: u8| is_unreserved(octet) || b":/?#[]@!$&'()*+,;=%".contains(&octet);
    if let Some(index) = text[from..].bytes().position(|octet| !is_uri(octet)) {
        return Err(error(from + index, "a character that must be escaped"));
    }
    let text = text.split_once('#').map_or(text, |(before, _)| before);
    let path_end = text.find('?').unwrap_or(text.len());
    let host = after_scheme(&text[from..path_end]).unwrap_or_default();
    let host_at = path_end - host.len();
    let (host, path) = host.split_once('/').ok_or(error(path_end, "there is no path"))?;
    let is_host = |octet: u8| octet.is_ascii_alphanumeric() || b"-.:[]_".contains(&octet);
    if host.is_empty() || !host.bytes().all(is_host) {
        return Err(error(host_at, "the host"));
    }
    // From the right, in pairs of AI and value, until a pair's AI is a key.
    let no_key = error(path_end - path.len(), "no key in the path");
    let mut before = path;
    let (key, row) = loop {
        let (rest, _value) = before.rsplit_once('/').ok_or(no_key)?;
        let (rest, ai) = rest.rsplit_once('/').unwrap_or(("", rest));
        let row = table::exactly(ai).ok_or(no_key)?;
        if row.qualifiers.is_some() {
            break (path_end - path.len() + rest.len() + usize::from(!rest.is_empty()), row);
        }
        before = rest;
    };
    // A path that begins with a slash of its own leaves an empty part before the key.
    let key = key + usize::from(text[key..].starts_with('/'));
    let walk = Walk { form: Form::Link, text, at: key, link: Place { key, path_end } };
    if !walk.fits_path(row.qualifiers.unwrap_or_default(), None) {
        return Err(error(key, "the path's qualifiers don't belong to its key in this order"));
    }
    Ok(walk)
}

impl<'a> Walk<'a> {
    /// The AIs behind the key in the path.
    fn path_qualifiers(&self) -> impl Iterator<Item = &'a str> {
        self.text[self.link.key..self.link.path_end].split('/').step_by(2).skip(1)
    }

    /// Whether one of the `alternatives` holds the path's qualifiers in their order, and `more` too.
    fn fits_path(&self, alternatives: &str, more: Option<&str>) -> bool {
        alternatives.split('|').any(|alternative| {
            let mut allowed = alternative.split(',');
            let in_order = self.path_qualifiers().all(|ai| allowed.any(|qualifier| qualifier == ai));
            in_order && more.is_none_or(|more| alternative.split(',').any(|qualifier| qualifier == more))
        })
    }

    pub(super) fn link(&mut self) -> Option<Result<Element<'a>, ElementError>> {
        if self.at < self.link.path_end {
            let (ai, value) = self.text[self.at..self.link.path_end].split_once('/')?;
            let start = self.at + ai.len() + 1;
            let end = start + value.find('/').unwrap_or(value.len());
            self.at = end + 1;
            let row = table::exactly(ai)?;
            return Some(Ok(self.element(ai, row, start..end, Escape::Percent)));
        }
        self.at = self.at.max(self.link.path_end + 1);
        while self.at < self.text.len() {
            let parameter = self.text[self.at..].split('&').next().unwrap_or_default();
            let start = self.at;
            self.at += parameter.len() + 1;
            // Parameters whose names aren't numbers are for the server.
            let Some((ai, value)) = parameter.split_once('=') else { continue };
            if ai.is_empty() || !ai.bytes().all(|octet| octet.is_ascii_digit()) {
                continue;
            }
            let unknown = |reason| Some(Err(ElementError { ai: None, position: start, reason }));
            let Some(row) = table::exactly(ai) else { return unknown(Reason::UnknownAi) };
            let key = self.text[self.link.key..].split('/').next().and_then(table::exactly);
            let in_path = key.and_then(|row| row.qualifiers).is_some_and(|list| self.fits_path(list, Some(ai)));
            if in_path || !row.is_attribute() {
                let reason = Reason::Link("this application identifier must stand in the path");
                return Some(Err(ElementError { ai: Some(Ai::new(ai)), position: start, reason }));
            }
            let start = start + ai.len() + 1;
            return Some(Ok(self.element(ai, row, start..start + value.len(), Escape::Percent)));
        }
        None
    }
}
